//! Facts about bodies that are sent again.

use std::future::poll_fn;

use super::*;

/// Gives these pieces, then trailers or an error.
struct Pieces {
    pieces: Vec<&'static str>,
    end: Option<Result<HeaderMap, BodyError>>,
    length: Option<u64>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.pieces.is_empty() {
            return Poll::Ready(self.end.take().map(|end| end.map(Frame::trailers)));
        }
        let piece = Bytes::from_static(self.pieces.remove(0).as_bytes());
        self.length = self.length.map(|length| length - piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn stream(pieces: &[&'static str], end: Option<Result<HeaderMap, BodyError>>, length: Option<u64>) -> Body {
    Body::stream(Pieces { pieces: pieces.to_vec(), end, length })
}

/// Up to `most` pieces of a body, and how it ended.
async fn read(body: &mut Body, most: usize) -> (String, String) {
    let mut text = String::new();
    for _ in 0..most {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => text.push_str(std::str::from_utf8(&data).unwrap()),
                Err(frame) => return (text, format!("{} trailers", frame.into_trailers().unwrap().len())),
            },
            Some(Err(error)) => return (text, error.to_string()),
            None => return (text, "end".to_owned()),
        }
    }
    (text, "more".to_owned())
}

fn pair(text: &str, end: &str) -> (String, String) {
    (text.to_owned(), end.to_owned())
}

#[tokio::test]
async fn a_body_is_sent_again_as_often_as_wanted_from_wherever_it_was() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    let replay = Replay::new(stream(&["ab", "cd", "ef"], Some(Ok(trailers)), None), 6);
    assert_eq!(read(&mut replay.body(), 2).await, pair("abcd", "more"));
    for _ in 0..2 {
        assert!(replay.is_there());
        assert_eq!(read(&mut replay.body(), 9).await, pair("abcdef", "1 trailers"));
    }
}

#[tokio::test]
async fn what_is_too_long_is_sent_once() {
    let replay = Replay::new(stream(&["ab", "cd", "ef"], None, None), 5);
    let mut body = replay.body();
    assert_eq!(read(&mut body, 2).await, pair("abcd", "more"));
    assert!(replay.is_there());
    assert_eq!(read(&mut body, 9).await, pair("ef", "end"));
    assert!(!replay.is_there());
}

#[tokio::test]
async fn what_was_not_begun_can_be_sent_however_long_it_is() {
    let replay = Replay::new(stream(&["ab"], None, Some(2)), 1);
    drop(replay.body());
    assert!(replay.is_there());
    let mut body = replay.body();
    assert_eq!(body.size_hint().exact(), Some(2));
    assert_eq!(read(&mut body, 1).await, pair("ab", "more"));
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(!replay.is_there());
}

#[tokio::test]
async fn a_length_is_said_again_each_time() {
    let replay = Replay::new(stream(&["ab", "cd"], None, Some(4)), 4);
    read(&mut replay.body(), 1).await;
    assert_eq!(replay.body().size_hint().exact(), Some(4));
}

#[tokio::test]
async fn what_was_cut_is_not_sent_again() {
    let replay = Replay::new(stream(&["ab"], Some(Err(BodyError::Gone)), None), 9);
    assert_eq!(read(&mut replay.body(), 9).await, pair("ab", "the sender has gone"));
    assert!(!replay.is_there());
}

#[tokio::test]
async fn a_whole_body_costs_nothing_to_keep() {
    let replay = Replay::new(Body::full("abc"), 0);
    for _ in 0..2 {
        assert_eq!(replay.body().into_full().unwrap(), "abc");
    }
}
