//! Asks responders about certificates (RFC 6960 §A.1). What is asked, and what of an answer is believed, is `tls`'s.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::acme::http::Client;
use crate::tls::OcspQuestion;

/// A responder has so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of a question: the answer, or why there is none.
pub(super) type Answer = (OcspQuestion, Result<Bytes, Box<str>>);

/// Who asks responders. Blocks.
#[derive(Debug)]
pub(super) struct Asker {
    runtime: Runtime,
}

impl Asker {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { runtime: Builder::new_current_thread().enable_all().build()? })
    }

    /// Asks all at once.
    pub(super) fn ask(&self, questions: Vec<OcspQuestion>) -> Vec<Answer> {
        // Answers are signed: they need no TLS, and responders offer none (RFC 5019 §5).
        let client = Arc::new(Client::untrusting().within(PATIENCE));
        self.runtime.block_on(async {
            let mut asked = JoinSet::new();
            for question in questions {
                let client = client.clone();
                asked.spawn(async move {
                    let answer = ask(&client, &question).await;
                    (question, answer)
                });
            }
            asked.join_all().await
        })
    }
}

async fn ask(client: &Client, question: &OcspQuestion) -> Result<Bytes, Box<str>> {
    let request = Request::post(&*question.url)
        .header(CONTENT_TYPE, "application/ocsp-request")
        .body(Bytes::copy_from_slice(&question.body))
        .map_err(|error| error.to_string())?;
    let answer = client.send(request).await.map_err(|error| error.to_string())?;
    match answer.status() {
        StatusCode::OK => Ok(answer.into_body()),
        status => Err(format!("it answers {status}").into()),
    }
}
