//! Where a receiver is now, checked at the moment of connecting: a check made earlier could be passed with
//! one address and connected with another.

use crate::target::Later;
use std::net::SocketAddr;
use yagura_desk::is_public;

/// The addresses of a receiver; inner ones only where they are allowed.
pub(crate) async fn checked(
    host: &str,
    port: u16,
    allow_private: bool,
) -> Result<Vec<SocketAddr>, Later> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<SocketAddr> = found?.collect();
    let inner = found.iter().find(|address| !is_public(address.ip()));
    match inner {
        Some(address) if !allow_private => Err(Later::new(
            format!(
                "{host} has the inner address {}: set allow_private = true to send there",
                address.ip()
            ),
            format!(
                "{host} は内部のアドレス {} です。そこへ送るには allow_private = true を指定してください",
                address.ip()
            ),
        )),
        _ => Ok(found),
    }
}
