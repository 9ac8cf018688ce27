//! A step on the way of a request and of its answer, as a tower layer. Requests stay on their thread, so services are
//! neither `Send` nor locked; layers are made once and shared by all threads.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::l7::request::{Request, Response};

/// An answer on its way.
pub type LocalFuture = Pin<Box<dyn Future<Output = Result<Response, Infallible>>>>;

/// A layer of a route's stack.
pub type LocalLayer = Arc<dyn tower::Layer<LocalService, Service = LocalService> + Send + Sync>;

/// Something that answers requests, of one thread. Never fails: what goes wrong is an answer too.
#[derive(Clone)]
pub struct LocalService(Rc<dyn Fn(Request) -> LocalFuture>);

impl LocalService {
    /// From a function.
    pub fn new<F>(answer: impl Fn(Request) -> F + 'static) -> Self
    where
        F: Future<Output = Response> + 'static,
    {
        Self(Rc::new(move |request| {
            let answer = answer(request);
            Box::pin(async move { Ok(answer.await) })
        }))
    }

    /// The answer to a request.
    pub async fn answer(&self, request: Request) -> Response {
        let Ok(response) = (self.0)(request).await;
        response
    }
}

impl tower::Service<Request> for LocalService {
    type Response = Response;
    type Error = Infallible;
    type Future = LocalFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> LocalFuture {
        (self.0)(request)
    }
}

impl fmt::Debug for LocalService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalService")
    }
}

/// What a step does. Most are done with a request before they give it to `next`, or look only at its answer.
pub trait Step: fmt::Debug + Send + Sync + 'static {
    /// Answers a request, mostly by `next`.
    fn answer(&self, request: Request, next: &LocalService) -> impl Future<Output = Response>;
}

/// A step as a layer.
#[derive(Debug)]
pub struct Around<S>(Arc<S>);

impl<S: Step> Around<S> {
    /// As a layer of a stack.
    pub fn layer(step: S) -> LocalLayer {
        Arc::new(Self(Arc::new(step)))
    }
}

impl<S: Step> tower::Layer<LocalService> for Around<S> {
    type Service = LocalService;

    fn layer(&self, next: LocalService) -> LocalService {
        let step = self.0.clone();
        LocalService(Rc::new(move |request| {
            let (step, next) = (step.clone(), next.clone());
            Box::pin(async move { Ok(step.answer(request, &next).await) })
        }))
    }
}
