//! The server's half of SASL: PLAIN (RFC 4616), SCRAM (RFC 5802, 7677) and OAUTHBEARER (RFC 7628).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use std::sync::Mutex;

pub const USER: &str = "yagura";
/// What `token` of the tests holds.
pub const PASSWORD: &str = "s3cret";

const SALT: &[u8] = b"some salt";
const ITERATIONS: u32 = 4096;

/// What was said in the first step; logins are one at a time.
static FIRST: Mutex<String> = Mutex::new(String::new());

/// One step of a login.
pub fn login(mechanism: &str, step: usize, said: &[u8]) -> Option<Vec<u8>> {
    let said = String::from_utf8(said.to_vec()).unwrap();
    match mechanism {
        "PLAIN" => (said == format!("\0{USER}\0{PASSWORD}")).then(Vec::new),
        "OAUTHBEARER" => said.contains(&format!("auth=Bearer {PASSWORD}\x01")).then(Vec::new),
        _ if step == 0 => {
            let bare = said.strip_prefix("n,,").unwrap();
            let (user, nonce) = bare.split_once(',').unwrap();
            assert_eq!(user, format!("n={USER}"));
            let answer = format!("{nonce}server,s={},i={ITERATIONS}", STANDARD.encode(SALT));
            *FIRST.lock().unwrap() = format!("{bare},{answer}");
            Some(answer.into_bytes())
        }
        _ => proved(mechanism, &said),
    }
}

/// Whether the proof is one of the password; the server's own proof.
fn proved(mechanism: &str, said: &str) -> Option<Vec<u8>> {
    let (without_proof, proof) = said.rsplit_once(",p=").unwrap();
    let signed = format!("{},{without_proof}", FIRST.lock().unwrap());
    let mac = |key: &[u8], text: &[u8]| mac(mechanism, key, text);
    let mut block = mac(PASSWORD.as_bytes(), &[SALT, &[0, 0, 0, 1]].concat());
    let mut salted = block.clone();
    for _ in 1..ITERATIONS {
        block = mac(PASSWORD.as_bytes(), &block);
        salted = xor(&salted, &block);
    }
    let client_key = mac(&salted, b"Client Key");
    let stored_key = match mechanism {
        "SCRAM-SHA-256" => Sha256::digest(&client_key).to_vec(),
        _ => Sha512::digest(&client_key).to_vec(),
    };
    let expected = xor(&client_key, &mac(&stored_key, signed.as_bytes()));
    let server_key = mac(&salted, b"Server Key");
    let answer = format!("v={}", STANDARD.encode(mac(&server_key, signed.as_bytes())));
    (proof == STANDARD.encode(&expected)).then(|| answer.into_bytes())
}

fn mac(mechanism: &str, key: &[u8], text: &[u8]) -> Vec<u8> {
    if mechanism == "SCRAM-SHA-256" {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text);
        return mac.finalize().into_bytes().to_vec();
    }
    let mut mac = Hmac::<Sha512>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}
