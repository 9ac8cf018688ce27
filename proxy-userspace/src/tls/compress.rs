//! Certificates made smaller on their way (RFC 8879).
//!
//! What was compressed once is kept, for all listeners, by its digest. rustls' own cache looks through all that it has
//! under a lock, holds four, and takes milliseconds for each that it has not: with many certificates, who asks for one
//! after the other would keep a CPU busy.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::CertificateCompressionAlgorithm;
use rustls::compress::{
    BROTLI_COMPRESSOR, CertCompressor, CompressionFailed, CompressionLevel, ZLIB_COMPRESSOR,
};

/// Bytes that are kept of one algorithm: of some ten thousand certificates.
const MOST_KEPT: usize = 32 << 20;

static BROTLI: LazyLock<Keeping> = LazyLock::new(|| Keeping::new(BROTLI_COMPRESSOR, MOST_KEPT));
static ZLIB: LazyLock<Keeping> = LazyLock::new(|| Keeping::new(ZLIB_COMPRESSOR, MOST_KEPT));

/// In the order of preference.
pub(super) fn compressors() -> Vec<&'static dyn CertCompressor> {
    vec![&*BROTLI, &*ZLIB]
}

/// A compressor that keeps what it made.
#[derive(Debug)]
struct Keeping {
    by: &'static dyn CertCompressor,
    kept: RwLock<Kept>,
    most: usize,
}

/// What is kept: when the young are half of all that may be, they become the old, and the old go.
#[derive(Debug, Default)]
struct Kept {
    young: HashMap<[u8; 32], Arc<[u8]>>,
    young_bytes: usize,
    old: HashMap<[u8; 32], Arc<[u8]>>,
}

impl Keeping {
    fn new(by: &'static dyn CertCompressor, most: usize) -> Self {
        Self { by, kept: RwLock::default(), most }
    }

    fn find(&self, key: &[u8; 32]) -> Option<Arc<[u8]>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.young.get(key) {
            return Some(Arc::clone(found));
        }
        let found = Arc::clone(kept.old.get(key)?);
        drop(kept);
        self.keep(*key, Arc::clone(&found));
        Some(found)
    }

    fn keep(&self, key: [u8; 32], what: Arc<[u8]>) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = what.len() + size_of::<[u8; 32]>();
        if kept.young.insert(key, what).is_none() {
            kept.young_bytes += bytes;
        }
        if kept.young_bytes > self.most / 2 {
            kept.old = std::mem::take(&mut kept.young);
            kept.young_bytes = 0;
        }
    }
}

impl CertCompressor for Keeping {
    fn compress(&self, input: Vec<u8>, _: CompressionLevel) -> Result<Vec<u8>, CompressionFailed> {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, &input).as_ref());
        if let Some(found) = self.find(&key) {
            return Ok(found.to_vec());
        }
        // A handshake waits.
        let made = self.by.compress(input, CompressionLevel::Interactive)?;
        self.keep(key, made.as_slice().into());
        Ok(made)
    }

    fn algorithm(&self) -> CertificateCompressionAlgorithm {
        self.by.algorithm()
    }
}

#[cfg(test)]
mod tests {
    use rustls::compress::{BROTLI_DECOMPRESSOR, CertDecompressor, ZLIB_DECOMPRESSOR};

    use super::*;

    fn input(i: u32) -> Vec<u8> {
        i.to_be_bytes().repeat(300)
    }

    fn compress(by: &Keeping, i: u32) -> Vec<u8> {
        by.compress(input(i), CompressionLevel::Amortized).unwrap()
    }

    #[test]
    fn what_is_compressed_is_small_comes_back_whole_and_is_kept() {
        let pairs: [(_, &dyn CertDecompressor); 2] =
            [(BROTLI_COMPRESSOR, BROTLI_DECOMPRESSOR), (ZLIB_COMPRESSOR, ZLIB_DECOMPRESSOR)];
        for (by, back) in pairs {
            let keeping = Keeping::new(by, MOST_KEPT);
            for _ in 0..2 {
                let small = compress(&keeping, 7);
                assert!(small.len() < 100);
                let mut whole = vec![0; 1200];
                back.decompress(&small, &mut whole).unwrap();
                assert_eq!(whole, input(7));
            }
            assert_eq!(keeping.kept.read().unwrap().young.len(), 1);
            assert_eq!(keeping.algorithm(), back.algorithm());
        }
    }

    #[test]
    fn no_more_is_kept_than_may_be_and_what_is_asked_for_stays() {
        let keeping = Keeping::new(ZLIB_COMPRESSOR, 4096);
        for i in 0..1000 {
            compress(&keeping, i);
            compress(&keeping, 7);
            let kept = keeping.kept.read().unwrap();
            let bytes: usize = kept.young.values().chain(kept.old.values()).map(|one| one.len() + 32).sum();
            assert!(bytes <= 4096 + 100, "{bytes}");
            assert!(kept.old.len() + kept.young.len() < 100);
        }
        let kept = keeping.kept.read().unwrap();
        let seven = digest(&SHA256, &input(7));
        assert!([&kept.young, &kept.old].iter().any(|some| some.keys().any(|key| key == seven.as_ref())));
    }
}
