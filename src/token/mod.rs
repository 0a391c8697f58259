//! Signatures: the `user_sign` that a login answers with. Floor 1.
//!
//! A signature is a JSON Web Token (RFC 7519) in JWS compact form (RFC 7515), signed with HS256
//! (RFC 7518, section 3.2), so that any JWT library can verify it. This server itself does not: it
//! looks up the token's [`fingerprint`] in the session table, which can forget a session at once.
//! [`verify`] is for embedders that check signatures elsewhere, and it cannot see a logout.
//!
//! Deliberately absent: every other algorithm, encryption, nested tokens and clock leeway.
//! The keys are in [`keys`], their file in `key_file`.

mod key_file;
pub mod keys;

use crate::planted::{Bug, planted};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use keys::{Key, KeyError, Keys};

/// The SHA-256 of a token, which is stored instead of it everywhere.
pub type Fingerprint = [u8; 32];

/// What a signature says (RFC 7519, section 4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The issuer: the server's configured name.
    pub iss: String,
    /// The subject: the user's id, in decimal.
    pub sub: String,
    /// The session that it belongs to.
    pub sid: String,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Expires at, in seconds since 1970: in this second it is no longer valid.
    pub exp: i64,
}

/// Why a token is not valid.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// Not three base64url segments, without padding, of which the first is the header that
    /// [`sign`] writes.
    #[error("not a token of this server")]
    Malformed,
    /// The header asks for something other than HS256, such as `none`.
    #[error("the token's algorithm is not HS256")]
    Algorithm,
    /// Its key is unknown, or has retired.
    #[error("the token's key is not known or has been retired")]
    UnknownKey,
    /// The signature does not match its key.
    #[error("the token's signature is wrong")]
    Signature,
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
}

/// The JOSE header. An unknown field is refused, so `crit` needs no rule of its own
/// (RFC 7515, section 4.1.11).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// Signs `claims`: header, claims and signature, each in base64url, joined by dots.
///
/// # Panics
/// Never: strings and integers always serialize.
#[must_use]
pub fn sign(claims: &Claims, key: &Key) -> String {
    let header = format!(r#"{{"alg":"HS256","typ":"JWT","kid":"{}"}}"#, key.kid());
    let header = header.replace(
        "HS256",
        if planted(Bug::AlgNone) {
            "none"
        } else {
            "HS256"
        },
    );
    let claims = serde_json::to_vec(claims).expect("strings and integers always serialize");
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = hs256(&key.secret, token.as_bytes());
    token.push('.');
    token.push_str(&signature);
    token
}

/// The claims of `token`, if one of `keys` signed it and it is still valid at `now_s` (seconds since
/// 1970). This does not check whether the user has logged out of the session.
///
/// # Errors
/// The first reason why the token must not be trusted. Only the header, which names the key, is read
/// before the signature has been checked.
pub fn verify(token: &str, keys: &Keys, now_s: i64) -> Result<Claims, TokenError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    if claims.contains('.') {
        return Err(TokenError::Malformed);
    }

    let header: Header = decode_json(header)?;
    if header.alg != "HS256" {
        return Err(TokenError::Algorithm);
    }
    if header.typ != "JWT" {
        return Err(TokenError::Malformed);
    }
    let key = keys::parse_kid(&header.kid)
        .and_then(|id| keys.find(id, now_s))
        .ok_or(TokenError::UnknownKey)?;

    let signature = decode(signature)?;
    mac(&key.secret, signed.as_bytes())
        .verify_slice(&signature) // takes the same time for any position of the first difference
        .map_err(|_| TokenError::Signature)?;

    let claims: Claims = decode_json(claims)?;
    if now_s >= claims.exp {
        return Err(TokenError::Expired);
    }
    Ok(claims)
}

/// The same token, signed by the key with the same id among `others`; `None` unless one of `keys` signed it, at
/// any time.
#[cfg(feature = "simulation")]
pub(crate) fn sign_again(token: &str, keys: &Keys, others: &Keys) -> Option<String> {
    let (signed, signature) = token.rsplit_once('.')?;
    let header: Header = decode_json(signed.split_once('.')?.0).ok()?;
    let id = keys::parse_kid(&header.kid)?;
    let named = |keys: &Keys| keys.iter().find(|key| key.id == id).cloned();
    mac(&named(keys)?.secret, signed.as_bytes())
        .verify_slice(&decode(signature).ok()?)
        .ok()?;
    let signature = hs256(&named(others)?.secret, signed.as_bytes());
    Some(format!("{signed}.{signature}"))
}

/// The key under which the session of `token` is stored. A reader of the session table learns only
/// fingerprints, from which no token can be made.
#[must_use]
pub fn fingerprint(token: &[u8]) -> Fingerprint {
    Sha256::digest(token).into()
}

/// Bytes as text that is safe in a URL: base64url without padding (RFC 4648, section 5).
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes that [`base64url`] encodes as `text`; `None` for any other text.
#[must_use]
pub fn from_base64url<const N: usize>(text: &str) -> Option<[u8; N]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// The third segment of a token: HMAC-SHA-256 of `signing_input`, in base64url without padding.
#[must_use]
pub fn hs256(secret: &[u8], signing_input: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(mac(secret, signing_input).finalize().into_bytes())
}

fn mac(secret: &[u8], signing_input: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(secret)
        .expect("HMAC takes keys of any length")
        .chain_update(signing_input)
}

/// Strict: padding and non-zero trailing bits are errors, so that a token has only one spelling.
fn decode(segment: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(segment)
        .map_err(|_| TokenError::Malformed)
}

fn decode_json<T: for<'de> Deserialize<'de>>(segment: &str) -> Result<T, TokenError> {
    serde_json::from_slice(&decode(segment)?).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests;
