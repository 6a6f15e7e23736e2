//! The certificate of the HTTPS listener.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orchestratum_engine::TlsSettings;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("api.tls.certificate_file and api.tls.key_file must be given together")]
    HalfGiven,
    #[error("{path} cannot be read as PEM", path = path.display())]
    File {
        path: PathBuf,
        #[source]
        cause: pem::Error,
    },
    #[error("{path} holds no certificate", path = path.display())]
    Empty { path: PathBuf },
    #[error(
        "{0} is not a loopback address: there a certificate is needed (api.tls.certificate_file, api.tls.key_file)"
    )]
    SelfSignedInPublic(SocketAddr),
    #[error("a self-signed certificate could not be made")]
    SelfSigned(#[from] rcgen::Error),
    #[error("the certificate and its key are not usable")]
    Unusable(#[from] rustls::Error),
}

pub(super) fn acceptor(settings: &TlsSettings, address: SocketAddr) -> Result<TlsAcceptor, Error> {
    let (chain, key) = match (&settings.certificate_file, &settings.key_file) {
        (Some(certificate), Some(key)) => from_files(certificate, key)?,
        (None, None) if address.ip().is_loopback() => self_signed()?,
        (None, None) => return Err(Error::SelfSignedInPublic(address)),
        (Some(_), None) | (None, Some(_)) => return Err(Error::HalfGiven),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn from_files(certificate: &Path, key: &Path) -> Result<Identity, Error> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |cause| Error::File { path, cause }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable(certificate))?;
    if chain.is_empty() {
        return Err(Error::Empty {
            path: certificate.to_owned(),
        });
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
    Ok((chain, key))
}

/// For development: a new one at each start, known to nobody, so clients must be told to accept it.
fn self_signed() -> Result<Identity, Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names)?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .map_err(|reason| Error::Unusable(rustls::Error::General(reason.to_owned())))?;
    Ok((vec![made.cert.der().clone()], key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> TlsSettings {
        TlsSettings {
            listen: None,
            certificate_file: None,
            key_file: None,
        }
    }

    #[test]
    fn a_self_signed_certificate_is_for_loopback_only() {
        assert!(acceptor(&settings(), "127.0.0.1:1".parse().expect("an address")).is_ok());
        let public = acceptor(&settings(), "0.0.0.0:1".parse().expect("an address"));
        assert!(matches!(public, Err(Error::SelfSignedInPublic(_))));
    }

    #[test]
    fn half_a_pair_of_files_is_refused() {
        let half = TlsSettings {
            certificate_file: Some("certificate.pem".into()),
            ..settings()
        };
        assert!(matches!(
            acceptor(&half, "127.0.0.1:1".parse().expect("an address")),
            Err(Error::HalfGiven)
        ));
    }
}
