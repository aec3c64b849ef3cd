//! Where a backup lies: a directory, or a bucket that speaks S3.

use super::limits::{MANIFEST_BYTES_MAX, PART_BYTES, RETRIES};
use super::manifest::is_sha256;
use super::refused;
use crate::NodeError;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig};
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use yagura_journal::DirLock;

/// The file that says what the backup holds.
pub(crate) const MANIFEST: &str = "MANIFEST";
/// The directory of contents, each under its SHA-256.
const FILES: &str = "files";
/// Held while somebody writes to a directory.
const LOCK: &str = "LOCK";

/// An open place.
pub(crate) struct BackupPlace {
    store: Arc<dyn ObjectStore>,
    prefix: Key,
    /// As the user named it.
    shown: String,
    dir: Option<PathBuf>,
}

impl BackupPlace {
    /// Opens `s3://bucket/prefix` or a directory, which is made where `create` says so. Credentials
    /// and the endpoint of a bucket come from the environment (`AWS_*`).
    pub(crate) fn open(named: &str, create: bool) -> Result<BackupPlace, NodeError> {
        if named.is_empty() || named.chars().any(char::is_control) {
            return Err(NodeError::request(
                "name a directory or s3://bucket/prefix for the backup",
                "バックアップ先として、ディレクトリか s3://bucket/prefix を指定してください",
            ));
        }
        match named.split_once("://") {
            None => Self::directory(named, create),
            Some(("s3", rest)) => Self::bucket(named, rest),
            Some((scheme, _)) => Err(NodeError::request(
                format!(
                    "{scheme}:// is no place for a backup: name a directory or s3://bucket/prefix"
                ),
                format!(
                    "{scheme}:// はバックアップ先にできません。ディレクトリか s3://bucket/prefix を指定してください"
                ),
            )),
        }
    }

    fn directory(named: &str, create: bool) -> Result<BackupPlace, NodeError> {
        let path = PathBuf::from(named);
        let failed = |source| NodeError::Io { path: path.clone(), source };
        if create && !path.try_exists().map_err(failed)? {
            std::fs::create_dir_all(&path).map_err(failed)?;
            // What was received is nobody else's business.
            let private = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(&path, private).map_err(failed)?;
        }
        let dir = path.canonicalize().map_err(failed)?;
        let store =
            LocalFileSystem::new_with_prefix(&dir).map_err(|error| outside(named, &error))?;
        let (store, shown) = (Arc::new(store), named.to_owned());
        Ok(BackupPlace { store, prefix: Key::default(), shown, dir: Some(dir) })
    }

    fn bucket(named: &str, rest: &str) -> Result<BackupPlace, NodeError> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let failed = |error: &dyn std::fmt::Display| outside(named, error);
        let prefix = Key::parse(prefix.trim_end_matches('/')).map_err(|error| failed(&error))?;
        let (max_retries, seconds) = RETRIES;
        let retries = RetryConfig {
            max_retries,
            retry_timeout: Duration::from_secs(seconds),
            ..RetryConfig::default()
        };
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_retry(retries)
            .build()
            .map_err(|error| failed(&error))?;
        let shown = named.to_owned();
        Ok(BackupPlace { store: Arc::new(store), prefix, shown, dir: None })
    }

    /// As the user named it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Keeps others from writing to a directory meanwhile. A bucket has no such lock.
    pub(crate) fn lock(&self) -> Result<Option<DirLock>, NodeError> {
        Ok(self.dir.as_ref().map(|dir| DirLock::acquire(&dir.join(LOCK))).transpose()?)
    }

    /// Whether others may look into the directory.
    pub(crate) fn is_open_to_others(&self) -> bool {
        let mode = self.dir.as_ref().and_then(|dir| dir.metadata().ok());
        mode.is_some_and(|data| data.permissions().mode() & 0o077 != 0)
    }

    /// Whether the place lies in the data directory, which it is to be a copy of.
    pub(crate) fn is_within(&self, root: &Path) -> bool {
        self.dir.as_ref().is_some_and(|dir| dir.starts_with(root) || root.starts_with(dir))
    }

    /// The manifest's text; `None` where there is no backup.
    pub(crate) async fn manifest(&self) -> Result<Option<String>, NodeError> {
        self.manifest_within(MANIFEST_BYTES_MAX).await
    }

    async fn manifest_within(&self, bytes_max: u64) -> Result<Option<String>, NodeError> {
        let key = self.key(MANIFEST);
        let found = match self.store.get(&key).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(|error| self.failed(MANIFEST, &error))?,
        };
        if found.meta.size > bytes_max {
            return Err(self.damaged_manifest("length"));
        }
        let bytes = found.bytes().await.map_err(|error| self.failed(MANIFEST, &error))?;
        let text = String::from_utf8(bytes.to_vec());
        text.map(Some).map_err(|_| self.damaged_manifest("UTF-8"))
    }

    /// Replaces the manifest in one step.
    pub(crate) async fn replace_manifest(&self, text: String) -> Result<(), NodeError> {
        self.sync()?;
        let put = self.store.put(&self.key(MANIFEST), PutPayload::from(text)).await;
        put.map_err(|error| self.failed(MANIFEST, &error))?;
        self.sync()
    }

    /// The contents that are there, with their sizes, by SHA-256.
    pub(crate) async fn contents(&self) -> Result<HashMap<String, u64>, NodeError> {
        let mut list = self.store.list(Some(&self.key(FILES)));
        let mut contents = HashMap::new();
        while let Some(object) = list.next().await {
            let object = object.map_err(|error| self.failed(FILES, &error))?;
            if let Some(name) = object.location.filename().filter(|name| is_sha256(name)) {
                contents.insert(name.to_owned(), object.size);
            }
        }
        Ok(contents)
    }

    /// A writer of new contents, which are there in one step when it is shut down.
    pub(crate) fn writer(&self, sha256: &str) -> BufWriter {
        let key = self.key(&content(sha256));
        BufWriter::with_capacity(self.store.clone(), key, PART_BYTES).with_max_concurrency(1)
    }

    /// Contents piece by piece; `None` where they are missing.
    pub(crate) async fn read(
        &self,
        sha256: &str,
    ) -> Result<
        Option<futures::stream::BoxStream<'static, object_store::Result<bytes::Bytes>>>,
        NodeError,
    > {
        match self.store.get(&self.key(&content(sha256))).await {
            Ok(found) => Ok(Some(found.into_stream())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(&content(sha256), &error)),
        }
    }

    /// Removes contents that no manifest names, and what interrupted copies left.
    pub(crate) async fn remove(&self, contents: Vec<String>) -> Result<(), NodeError> {
        let keys: Vec<_> = contents.iter().map(|sha256| Ok(self.key(&content(sha256)))).collect();
        let removed = self.store.delete_stream(futures::stream::iter(keys).boxed());
        removed
            .try_for_each(|_| async { Ok(()) })
            .await
            .map_err(|error| self.failed(FILES, &error))?;
        let Some(dir) = &self.dir else { return Ok(()) };
        let Ok(shelves) = std::fs::read_dir(dir.join(FILES)) else { return Ok(()) };
        for shelf in shelves.flatten() {
            let Ok(files) = std::fs::read_dir(shelf.path()) else { continue };
            for file in files.flatten().filter(|file| file.file_type().is_ok_and(|it| it.is_file()))
            {
                if file.file_name().to_str().is_none_or(|name| !is_sha256(name)) {
                    // Whatever stays is in nobody's way.
                    let _ = std::fs::remove_file(file.path());
                }
            }
        }
        Ok(())
    }

    /// Makes durable what was written to a directory; a bucket has done so when it answers.
    fn sync(&self) -> Result<(), NodeError> {
        let Some(dir) = &self.dir else { return Ok(()) };
        super::sync_filesystem(dir)
    }

    fn key(&self, name: &str) -> Key {
        let mut key = self.prefix.clone();
        for part in name.split('/') {
            key = key.join(part);
        }
        key
    }

    pub(crate) fn failed(&self, name: &str, error: &dyn std::fmt::Display) -> NodeError {
        outside(&format!("{}/{name}", self.shown.trim_end_matches('/')), error)
    }

    pub(crate) fn damaged_manifest(&self, what: &str) -> NodeError {
        let shown = self.shown.trim_end_matches('/');
        refused(
            format!(
                "{shown}/{MANIFEST} is not a manifest as it was written ({what}): the backup cannot be \
                 trusted; for a new one name another place"
            ),
            format!(
                "{shown}/{MANIFEST} は書き出したときのままではありません（{what}）。このバックアップは使えません。\
                 新しく作る場合は、別の場所を指定してください"
            ),
        )
    }
}

/// Where contents lie: 256 shelves, so that no directory becomes too large.
pub(crate) fn content(sha256: &str) -> String {
    format!("{FILES}/{}/{sha256}", sha256.get(..2).unwrap_or_default())
}

fn outside(place: &str, error: &dyn std::fmt::Display) -> NodeError {
    refused(format!("{place}: {error}"), format!("{place} を読み書きできません（{error}）"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manifest_longer_than_its_limit_is_not_read() {
        let scratch = tempfile::tempdir().unwrap();
        let place = BackupPlace::open(scratch.path().to_str().unwrap(), false).unwrap();
        assert_eq!(place.manifest().await.unwrap(), None);
        let path = scratch.path().join(MANIFEST);
        std::fs::write(&path, "1234567").unwrap();
        assert_eq!(place.manifest_within(7).await.unwrap().as_deref(), Some("1234567"));
        let refused = place.manifest_within(6).await.unwrap_err().to_string();
        assert!(refused.contains("(length)"), "{refused}");
        // As long as the limit itself says, without a byte of it on the disk.
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(MANIFEST_BYTES_MAX + 1).unwrap();
        assert!(place.manifest().await.is_err());
    }
}
