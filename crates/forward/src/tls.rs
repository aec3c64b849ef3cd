//! TLS to receivers that are spoken to without HTTP: by the certificates of `ca_file` alone.

use crate::ForwardError;
use crate::limits::CA_BYTES_MAX;
use crate::settings::Settings;
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// What a connection needs for TLS, where it has TLS (`tls://`). Without it, only to a receiver that is
/// allowed to be an inner one.
pub(crate) fn client(
    settings: &Settings,
    with_tls: bool,
) -> Result<Option<Arc<ClientConfig>>, ForwardError> {
    if !with_tls && !settings.allow_private {
        return Err(settings.refuse(
            "without TLS anybody on the way can read it: use tls://, or set allow_private = true \
             for a receiver in your own network",
            "TLSがないと途中で読まれます。tls:// を使うか、自分のネットワークの中なら \
             allow_private = true を指定してください",
        ));
    }
    match (with_tls, &settings.ca_file) {
        (true, Some(path)) => {
            let pem = settings.read(path, CA_BYTES_MAX)?;
            let config = trusting(&pem).map_err(|reason| {
                let path = path.display();
                settings.refuse(
                    format!("ca_file {path}: {reason}"),
                    format!("ca_file {path}: 証明書として読めません（{reason}）"),
                )
            })?;
            Ok(Some(Arc::new(config)))
        }
        (true, None) => Err(settings.refuse(
            "tls:// needs ca_file: the certificate of whoever signed the receiver's",
            "tls:// には ca_file（受信側の証明書に署名した認証局の証明書）が必要です",
        )),
        (false, Some(_)) => {
            Err(settings.refuse("ca_file is for tls:// only", "ca_file は tls:// だけで使えます"))
        }
        (false, None) => Ok(None),
    }
}

fn trusting(pem: &[u8]) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("it has no certificate (PEM)".to_owned());
    }
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
