//! Writes what there is already as first inputs of the fuzz targets.

use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::ZlibDecoder;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    pipeline(root)?;
    client_hello(root)
}

/// The packet corpus.
fn pipeline(root: &Path) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(root.join("../corpus/packets.json"))?;
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text)?;
    let folder = root.join("corpus/pipeline");
    fs::create_dir_all(&folder)?;
    for (number, case) in cases.iter().enumerate() {
        let hex = case["hex"].as_str().ok_or("a frame")?;
        let bytes = (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16));
        let frame = bytes.collect::<Result<Vec<u8>, _>>()?;
        let mut input = vec![number as u8 & 1];
        input.extend_from_slice(&(frame.len() as u16).to_be_bytes());
        input.extend_from_slice(&frame);
        fs::write(folder.join(format!("{number:03}")), input)?;
    }
    Ok(())
}

/// What real clients say first.
fn client_hello(root: &Path) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(root.join("../../proxy-userspace/src/tls/client_hellos.txt"))?;
    let folder = root.join("corpus/client_hello");
    fs::create_dir_all(&folder)?;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, _, _, packed] = words[..] else { return Err(line.into()) };
        // Pieces of 100 bytes, records of 512.
        let mut input = vec![100, 8];
        ZlibDecoder::new(&BASE64_STANDARD.decode(packed)?[..]).read_to_end(&mut input)?;
        fs::write(folder.join(name), input)?;
    }
    Ok(())
}
