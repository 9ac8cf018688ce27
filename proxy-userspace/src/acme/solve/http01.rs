//! HTTP-01 (RFC 8555 §8.3): an answer at `/.well-known/acme-challenge/`, which every listener of HTTP gives before
//! anything else.

use std::sync::Arc;

use crate::config::ChallengeType;
use crate::tls::Challenges;

use super::super::solver::{Presented, Proof, SolveError, Solver};
use super::full::Full;

/// Who failed.
const BY: &str = "http-01";

/// Puts answers where `l7` finds them.
#[derive(Clone, Debug)]
pub(super) struct Http01 {
    challenges: Arc<Challenges>,
}

impl Http01 {
    /// Answers go here.
    pub(super) fn new(challenges: Arc<Challenges>) -> Self {
        Self { challenges }
    }
}

impl Solver for Http01 {
    fn kind(&self) -> ChallengeType {
        ChallengeType::Http01
    }

    async fn present(&self, proof: &Proof) -> Result<Presented, SolveError> {
        if !self.challenges.put_http(&proof.token, &proof.key_authorization) {
            return Err(SolveError::new(BY, Full));
        }
        Ok(Presented::Http { token: proof.token.clone() })
    }

    async fn cleanup(&self, presented: Presented) -> Result<(), SolveError> {
        if let Presented::Http { token } = presented {
            self.challenges.remove_http(&token);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::proof;
    use super::*;

    #[tokio::test]
    async fn the_answer_is_there_until_it_is_cleaned_up() {
        let challenges = Arc::new(Challenges::default());
        let solver = Http01::new(Arc::clone(&challenges));
        let proof = proof("app.example.com", false);
        let shown = solver.present(&proof).await.unwrap();
        assert_eq!(challenges.http(&proof.token), Some(proof.key_authorization));
        solver.cleanup(shown).await.unwrap();
        assert_eq!(challenges.http(&proof.token), None);
    }

    #[tokio::test]
    async fn too_many_open_proofs_are_refused_and_said() {
        let challenges = Arc::new(Challenges::default());
        let mut number = 0;
        while challenges.put_http(&number.to_string(), "") {
            number += 1;
        }
        let error = Http01::new(challenges).present(&proof("app.example.com", false)).await.unwrap_err();
        assert_eq!(error.to_string(), "http-01: too many proofs are open at once; it is tried again later");
    }
}
