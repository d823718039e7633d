//! The list of public keys with which GitHub's secret scanning signs its reports, as its API gives it.

use super::Invalid;
use super::layers::Layered;
use claviger_control::ReporterKey;
use serde::Deserialize;

/// What stands before the point in the DER form of a P-256 public key.
const HEADER: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

#[derive(Deserialize)]
struct List {
    public_keys: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    key_identifier: String,
    key: String,
    is_current: bool,
}

/// The keys that are current; none if no file is named.
pub(super) fn read(layered: &Layered, named: &str) -> Result<Vec<ReporterKey>, Invalid> {
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let place = "keys.github_keys_file";
    let file = layered.base().join(named);
    let text = std::fs::read_to_string(&file)
        .map_err(|error| Invalid::at(place, format_args!("{}: {error}", file.display())))?;
    let list: List =
        serde_json::from_str(&text).map_err(|error| Invalid::at(place, format_args!("{}: {error}", file.display())))?;
    let current = list.public_keys.into_iter().filter(|key| key.is_current);
    current
        .map(|key| {
            let point = point(&key.key).ok_or_else(|| {
                Invalid::at(
                    place,
                    format_args!("{}: key {} is no P-256 public key", file.display(), key.key_identifier),
                )
            })?;
            Ok(ReporterKey { id: key.key_identifier, point })
        })
        .collect()
}

/// The uncompressed point of a PEM public key.
fn point(pem: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
    let point = der.strip_prefix(&HEADER)?;
    (point.len() == 65 && point.first() == Some(&4)).then(|| point.to_vec())
}
