//! Writes the packet corpus as first inputs of the fuzz targets.

use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
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
