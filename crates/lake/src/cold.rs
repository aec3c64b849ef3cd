//! Cold stores: where files of the table lie that are asked for seldom. A bucket that speaks S3, or a
//! second directory.
//!
//! A file lies there under the path it had in the table's directory. Nothing is ever listed: the table's
//! log names every file by its whole URL, so other readers of the table find them too.
//!
//! A store that is slow, absent or refusing is an ordinary case: every request has a timeout and a bounded
//! number of repetitions, and what comes of it is a [`ColdProblem`].

use crate::LakeError;
use crate::cold_settings::{ColdPlace, ColdSettings};
use crate::kill::kill_point;
use crate::limits::{
    COLD_CONNECT_S, COLD_PART_BYTES, COLD_PAUSE_S, COLD_REASON_CHARS, COLD_RETRIES,
};
use crate::runtime::Runtime;
use object_store::aws::AmazonS3Builder;
use object_store::client::SpawnedReqwestConnector;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::durable::{UNFINISHED, sync_directory};

/// What kind of trouble there is with a cold store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColdKind {
    /// It does not answer, or answers with errors of its own.
    Away,
    /// It answers, and does not have the file.
    Missing,
    /// It refuses: no right, or the object is locked.
    Refused,
    /// Nobody told how it is reached.
    Unknown,
    /// It is another data directory's.
    Foreign,
}

/// Trouble with a cold store, and what the store said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColdProblem {
    /// Its kind.
    pub kind: ColdKind,
    /// What was said.
    pub reason: String,
}

/// What became of an object that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColdRemoved {
    /// It is gone, or was.
    Gone,
    /// It is no longer there by its name, but the bucket keeps this version of it.
    VersionKept(String),
    /// The store refuses, as a bucket with object lock does. It is there as before.
    Refused(String),
}

/// The name of the object that says whose files a store has.
const MARKER: &str = "yagura-cold.json";

/// Longest marker that is read, in bytes.
const MARKER_BYTES_MAX: u64 = 4_096;

/// Every cold store that is known, by its URL.
#[derive(Debug, Default)]
pub(crate) struct ColdStores {
    stores: BTreeMap<Arc<str>, Arc<ColdStore>>,
}

impl ColdStores {
    /// Asks none of them anything.
    pub(crate) fn new(settings: &[ColdSettings]) -> Result<Self, LakeError> {
        let mut stores = ColdStores::default();
        if settings.is_empty() {
            return Ok(stores);
        }
        let runtime = Runtime::new("yagura-cold")
            .map_err(|source| LakeError::Io { path: "yagura-cold".into(), source })?;
        let runtime = Arc::new(runtime);
        for one in settings {
            let store = ColdStore::new(one, runtime.clone())?;
            stores.stores.insert(store.url.clone(), Arc::new(store));
        }
        Ok(stores)
    }

    pub(crate) fn get(&self, url: &str) -> Option<&Arc<ColdStore>> {
        self.stores.get(url)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<ColdStore>> {
        self.stores.values()
    }
}

/// One cold store. Methods without `async` block, and may be called from any thread.
pub(crate) struct ColdStore {
    pub(crate) url: Arc<str>,
    pub(crate) objects: Arc<dyn ObjectStore>,
    place: ColdPlace,
    runtime: Arc<Runtime>,
    /// When it last did not answer, and what was said.
    away: Mutex<Option<(Instant, ColdProblem)>>,
}

impl std::fmt::Debug for ColdStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ColdStore").field("url", &self.url).finish_non_exhaustive()
    }
}

impl ColdStore {
    fn new(settings: &ColdSettings, runtime: Arc<Runtime>) -> Result<Self, LakeError> {
        let place = settings.place()?;
        let objects: Arc<dyn ObjectStore> = match &place {
            ColdPlace::Directory(_) => Arc::new(LocalFileSystem::new()),
            ColdPlace::Bucket { bucket, .. } => bucket_client(settings, bucket, &runtime)?,
        };
        let url = settings.url().into();
        Ok(ColdStore { url, objects, place, runtime, away: Mutex::default() })
    }

    pub(crate) fn name_of(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("{}/{path}", self.url))
    }

    pub(crate) fn key(&self, path: &str) -> Result<Key, ColdProblem> {
        let key = match &self.place {
            ColdPlace::Directory(root) => Key::from_absolute_path(root.join(path)),
            ColdPlace::Bucket { prefix, .. } if prefix.is_empty() => Key::parse(path),
            ColdPlace::Bucket { prefix, .. } => Key::parse(format!("{prefix}/{path}")),
        };
        key.map_err(|error| ColdProblem { kind: ColdKind::Missing, reason: error.to_string() })
    }

    pub(crate) fn error(&self, path: &str, problem: ColdProblem) -> LakeError {
        LakeError::Cold { path: self.name_of(path), store: self.url.clone(), problem }
    }

    /// Fails at once while it is known not to answer.
    pub(crate) fn is_there(&self) -> Result<(), ColdProblem> {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        match &*away {
            Some((at, problem)) if at.elapsed() < Duration::from_secs(COLD_PAUSE_S) => {
                Err(problem.clone())
            }
            _ => Ok(()),
        }
    }

    /// Notes whether it answered.
    pub(crate) fn noted<T>(&self, answer: Result<T, Error>) -> Result<T, ColdProblem> {
        let answer = answer.map_err(|error| self.problem(&error));
        let away = match &answer {
            Err(problem) if problem.kind == ColdKind::Away => Some(problem.clone()),
            _ => None,
        };
        let mut known = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        *known = away.map(|problem| (Instant::now(), problem));
        answer
    }

    fn problem(&self, error: &Error) -> ColdProblem {
        let kind = match error {
            // A directory that is not there at all is a disk that is not mounted.
            Error::NotFound { .. } => match &self.place {
                ColdPlace::Directory(root) if !matches!(root.try_exists(), Ok(true)) => {
                    ColdKind::Away
                }
                _ => ColdKind::Missing,
            },
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ColdKind::Refused,
            _ => ColdKind::Away,
        };
        let mut reason = error.to_string();
        if let Some((cut, _)) = reason.char_indices().nth(COLD_REASON_CHARS) {
            reason.truncate(cut);
        }
        ColdProblem { kind, reason }
    }

    fn ask<T: Send>(
        &self,
        asked: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, ColdProblem> {
        let answer = self.runtime.run(asked);
        self.noted(answer)
    }

    /// Bytes of an object.
    pub(crate) fn range(&self, key: &Key, range: Range<u64>) -> Result<bytes::Bytes, ColdProblem> {
        self.is_there()?;
        let length = range.end - range.start;
        let end = range.end;
        let bytes = match self.ask(self.objects.get_range(key, range)) {
            Ok(bytes) => bytes,
            Err(problem) => return Err(self.runtime.run(self.explained(key, end, problem))),
        };
        if bytes.len() as u64 != length {
            let reason = format!("{length} bytes were asked for, {} came", bytes.len());
            return Err(ColdProblem { kind: ColdKind::Missing, reason });
        }
        Ok(bytes)
    }

    /// A store says in many ways that an object is shorter than what was asked of it; that is not a store
    /// that does not answer.
    pub(crate) async fn explained(&self, key: &Key, end: u64, problem: ColdProblem) -> ColdProblem {
        if problem.kind != ColdKind::Away {
            return problem;
        }
        match self.objects.head(key).await {
            Ok(meta) if meta.size < end => {
                let answered: Result<(), Error> = Ok(());
                let _ = self.noted(answered);
                let reason = format!("it has {} bytes there, {end} are needed", meta.size);
                ColdProblem { kind: ColdKind::Missing, reason }
            }
            _ => problem,
        }
    }

    /// Makes the store this owner's, or finds that it is. Whoever has files there already (`has_files`)
    /// finds his marker, or the wrong disk is mounted.
    pub(crate) fn claim(&self, owner: &str, has_files: bool) -> Result<(), ColdProblem> {
        let key = self.key(MARKER)?;
        let away = |reason: &str| ColdProblem { kind: ColdKind::Away, reason: reason.to_owned() };
        if let ColdPlace::Directory(root) = &self.place
            && !root.is_dir()
        {
            return Err(away(
                "the directory is not there: is the disk mounted? It is never created",
            ));
        }
        match self.ask(self.objects.head(&key)) {
            Ok(meta) => {
                let text = self.range(&key, 0..meta.size.min(MARKER_BYTES_MAX))?;
                let read: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
                match read.as_ref().and_then(|read| read["owner"].as_str()) {
                    Some(known) if known == owner => Ok(()),
                    Some(known) => Err(ColdProblem {
                        kind: ColdKind::Foreign,
                        reason: format!("it belongs to {known}, this is {owner}"),
                    }),
                    None => Err(ColdProblem {
                        kind: ColdKind::Foreign,
                        reason: format!("{MARKER} there is not ours"),
                    }),
                }
            }
            Err(problem) if problem.kind == ColdKind::Missing && has_files => {
                Err(away("its marker yagura-cold.json is not there: is the right disk mounted?"))
            }
            Err(problem) if problem.kind == ColdKind::Missing => {
                let text = serde_json::json!({ "yagura": "cold store v1", "owner": owner });
                self.put_small(MARKER, &key, text.to_string().into_bytes())
            }
            Err(problem) => Err(problem),
        }
    }

    fn put_small(&self, path: &str, key: &Key, bytes: Vec<u8>) -> Result<(), ColdProblem> {
        match &self.place {
            ColdPlace::Bucket { .. } => self.ask(self.objects.put(key, bytes.into())).map(drop),
            ColdPlace::Directory(root) => {
                let written = NewObject::create(root, path).and_then(|mut file| {
                    file.file.write_all(&bytes)?;
                    file.finish()
                });
                written.map_err(|error| self.disk(&error))
            }
        }
    }

    fn disk(&self, error: &io::Error) -> ColdProblem {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                ColdKind::Refused
            }
            _ => ColdKind::Away,
        };
        ColdProblem { kind, reason: error.to_string() }
    }

    /// Size of an object; `None` where there is none.
    pub(crate) fn size(&self, path: &str) -> Result<Option<u64>, LakeError> {
        let asked = self.key(path).and_then(|key| self.ask(self.objects.head(&key)));
        match asked {
            Ok(meta) => Ok(Some(meta.size)),
            Err(problem) if problem.kind == ColdKind::Missing => Ok(None),
            Err(problem) => Err(self.error(path, problem)),
        }
    }

    /// Copies a local file there, whole and synchronised, if it is what `sha256` says; otherwise nothing
    /// is left there. Tells `sent` of every part, which may end it.
    pub(crate) fn put(
        &self,
        local: &Path,
        path: &str,
        sha256: &str,
        sent: &mut dyn FnMut(u64) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        let mut source = Hashed::open(local)?;
        let changed =
            || crate::read::corrupt(local, "its SHA-256 is not the one it was written with");
        let cold = |problem| self.error(path, problem);
        if let ColdPlace::Directory(root) = &self.place {
            let failed = |error: io::Error| self.error(path, self.disk(&error));
            let mut target = NewObject::create(root, path).map_err(failed)?;
            while let Some(part) = source.part()? {
                target.file.write_all(&part).map_err(failed)?;
                sent(part.len() as u64)?;
            }
            return match source.is(sha256) {
                true => target.finish().map_err(failed),
                false => Err(changed()),
            };
        }
        let key = self.key(path).map_err(cold)?;
        let first = source.part()?.unwrap_or_default();
        let Some(mut next) = source.part()? else {
            if !source.is(sha256) {
                return Err(changed());
            }
            let bytes = first.len() as u64;
            self.ask(self.objects.put(&key, first.into())).map_err(cold)?;
            kill_point("object", &"Put");
            return sent(bytes);
        };
        let mut upload = self.ask(self.objects.put_multipart(&key)).map_err(cold)?;
        let mut part = first;
        let done = loop {
            let bytes = part.len() as u64;
            let put = self.ask(upload.put_part(PutPayload::from(part))).map_err(cold);
            kill_point("object", &"Part");
            if let Err(error) = put.and_then(|()| sent(bytes)) {
                break Err(error);
            }
            if next.is_empty() {
                break if source.is(sha256) { Ok(()) } else { Err(changed()) };
            }
            part = next;
            next = match source.part() {
                Ok(next) => next.unwrap_or_default(),
                Err(error) => break Err(error),
            };
        };
        match done {
            Ok(()) => self.ask(upload.complete()).map(drop).map_err(cold),
            Err(error) => {
                // What the store keeps of it, its own rules for unfinished uploads remove.
                let _ = self.ask(upload.abort());
                Err(error)
            }
        }
    }

    /// Reads an object whole, part by part.
    pub(crate) fn read(
        &self,
        path: &str,
        bytes: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        let cold = |problem| self.error(path, problem);
        let key = self.key(path).map_err(cold)?;
        let mut at = 0;
        while at < bytes {
            let end = bytes.min(at + COLD_PART_BYTES as u64);
            take(&self.range(&key, at..end).map_err(cold)?)?;
            at = end;
        }
        Ok(())
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// When the store does not answer: it is not known then what became of it.
    pub(crate) fn remove(&self, path: &str) -> Result<ColdRemoved, LakeError> {
        let cold = |problem| self.error(path, problem);
        let key = self.key(path).map_err(cold)?;
        let head = || self.ask(self.objects.head(&key));
        let before = match head() {
            Ok(meta) => meta,
            Err(problem) if problem.kind == ColdKind::Missing => return Ok(ColdRemoved::Gone),
            Err(problem) => return Err(cold(problem)),
        };
        match self.ask(self.objects.delete(&key)) {
            Ok(()) => Ok(match before.version {
                Some(version) => ColdRemoved::VersionKept(version),
                None => ColdRemoved::Gone,
            }),
            // A server says in many ways that it will not; one that answers and has it still, will not.
            Err(problem) => match head() {
                Ok(_) => Ok(ColdRemoved::Refused(problem.reason)),
                Err(gone) if gone.kind == ColdKind::Missing => Ok(ColdRemoved::Gone),
                Err(_) => Err(cold(problem)),
            },
        }
    }
}

fn bucket_client(
    settings: &ColdSettings,
    bucket: &str,
    runtime: &Runtime,
) -> Result<Arc<dyn ObjectStore>, LakeError> {
    let timeout = Duration::from_secs(settings.timeout_s);
    let options = ClientOptions::new()
        .with_timeout(timeout)
        .with_connect_timeout(Duration::from_secs(COLD_CONNECT_S.min(settings.timeout_s)))
        .with_allow_http(settings.may_use_http());
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: COLD_RETRIES,
        retry_timeout: timeout * 2,
    };
    // Requests of every runtime are driven by one of their own: a pooled connection must not wait for
    // the thread that waits for it.
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(options)
        .with_retry(retry)
        .with_http_connector(SpawnedReqwestConnector::new(runtime.handle()));
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if let Some(key) = &settings.access_key {
        builder = builder.with_access_key_id(&key.id).with_secret_access_key(&key.secret);
    }
    let built =
        builder.build().map_err(|error| settings.wrong(&error.to_string(), &error.to_string()));
    Ok(Arc::new(built?))
}

/// A local file, hashed as it is read in parts.
struct Hashed<'a> {
    path: &'a Path,
    file: File,
    digest: Sha256,
}

impl<'a> Hashed<'a> {
    fn open(path: &'a Path) -> Result<Self, LakeError> {
        Ok(Hashed { path, file: crate::read::open(path)?, digest: Sha256::new() })
    }

    fn part(&mut self) -> Result<Option<Vec<u8>>, LakeError> {
        let mut part = Vec::new();
        let read = (&mut self.file).take(COLD_PART_BYTES as u64).read_to_end(&mut part);
        read.map_err(|source| LakeError::Io { path: self.path.to_path_buf(), source })?;
        self.digest.update(&part);
        Ok((!part.is_empty()).then_some(part))
    }

    fn is(&self, sha256: &str) -> bool {
        hex(self.digest.clone()) == sha256
    }
}

pub(crate) fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file of a second directory, under its unfinished name. Dropped, it is gone again.
struct NewObject {
    file: File,
    unfinished: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl NewObject {
    fn create(root: &Path, path: &str) -> io::Result<Self> {
        let target = root.join(path);
        let mut directory = root.to_path_buf();
        // The root is never created: it is missing where the disk is not mounted.
        if let Some((parents, _)) = path.rsplit_once('/') {
            for part in parents.split('/') {
                let parent = directory.clone();
                directory.push(part);
                if !directory.try_exists()? {
                    fs::create_dir(&directory)?;
                    sync_directory(&parent)?;
                }
            }
        }
        let unfinished = root.join(format!("{path}{UNFINISHED}"));
        Ok(NewObject { file: File::create(&unfinished)?, unfinished, target, finished: false })
    }

    fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        kill_point("object", &"Synced");
        fs::rename(&self.unfinished, &self.target)?;
        kill_point("object", &"Named");
        self.finished = true;
        sync_directory(self.target.parent().unwrap_or(Path::new("/")))
    }
}

impl Drop for NewObject {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}
