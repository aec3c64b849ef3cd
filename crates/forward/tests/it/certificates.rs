//! Certificates for `localhost` and 127.0.0.1, made for a test by the `openssl` program.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

/// Authorities and what they signed.
pub struct Certificates {
    dir: tempfile::TempDir,
}

impl Certificates {
    pub fn new() -> Certificates {
        let made = Certificates { dir: tempfile::tempdir().unwrap() };
        for ca in ["ca", "other-ca"] {
            let (key, pem) = (made.path(&format!("{ca}.key")), made.path(&format!("{ca}.pem")));
            let subject = format!("/CN={ca} of a test");
            openssl(&["req", "-x509", "-subj", &subject, "-days", "30"], &key, &pem);
        }
        let dir = made.dir.path().display();
        let settings = format!(
            "[ca]\ndefault_ca=own\n[own]\ndatabase={dir}/index\nserial={dir}/serial\n\
             new_certs_dir={dir}\ndefault_md=sha256\nunique_subject=no\npolicy=any\n\
             [any]\ncommonName=supplied\n[names]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n"
        );
        for (name, text) in [("settings", settings.as_str()), ("index", ""), ("serial", "01\n")] {
            std::fs::write(made.path(name), text).unwrap();
        }
        for (name, until) in [("good", "20991231000000Z"), ("expired", "20200201000000Z")] {
            let request = made.path("request");
            openssl(
                &["req", "-subj", "/CN=localhost"],
                &made.path(&format!("{name}.key")),
                &request,
            );
            let of = |name: &str| made.path(name).to_str().unwrap().to_owned();
            let signing = ["ca", "-batch", "-notext", "-extensions", "names"].map(str::to_owned);
            let files = [
                ("-config", of("settings")),
                ("-cert", of("ca.pem")),
                ("-keyfile", of("ca.key")),
                ("-in", of("request")),
                ("-out", of(&format!("{name}.pem"))),
                ("-startdate", "20200101000000Z".to_owned()),
                ("-enddate", until.to_owned()),
            ];
            let files = files.into_iter().flat_map(|(option, value)| [option.to_owned(), value]);
            let all: Vec<String> = signing.into_iter().chain(files).collect();
            run(&all.iter().map(String::as_str).collect::<Vec<_>>());
        }
        made
    }

    /// Who signed the others.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Who signed none of them.
    pub fn other_ca(&self) -> PathBuf {
        self.path("other-ca.pem")
    }

    /// A server with the certificate of this name: `good` or `expired`.
    pub fn server(&self, name: &str) -> TlsAcceptor {
        let chain = CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Runs it with a new key of its own.
fn openssl(arguments: &[&str], key: &Path, out: &Path) {
    let (key, out) = (key.to_str().unwrap(), out.to_str().unwrap());
    let with_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    run(&[arguments, &with_key, &["-keyout", key, "-out", out]].concat());
}

fn run(arguments: &[&str]) {
    let done = Command::new("openssl").args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
