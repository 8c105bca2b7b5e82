//! The body of a unary request: one length-prefixed message ("Length-Prefixed-Message" in gRPC over HTTP/2).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use hawsepipe_model::Codec;
use http_body::{Body, Frame};

/// A message longer than its length field can say.
#[derive(Debug, thiserror::Error)]
#[error("a message of {0} bytes is more than gRPC can carry (4 GiB)")]
pub(crate) struct TooLong(usize);

/// Flag, length, message. The message's bytes are not copied.
#[derive(Debug)]
pub(crate) struct Message {
    prefix: Option<Bytes>,
    message: Option<Bytes>,
}

impl Message {
    pub(crate) fn new(codec: Codec, message: Bytes) -> Result<Self, TooLong> {
        let length = u32::try_from(message.len()).map_err(|_too_long| TooLong(message.len()))?;
        let mut prefix = BytesMut::with_capacity(5);
        prefix.put_u8(u8::from(codec != Codec::Identity));
        prefix.put_u32(length);
        let message = (!message.is_empty()).then_some(message);
        Ok(Self { prefix: Some(prefix.freeze()), message })
    }
}

impl Body for Message {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.prefix.take().or_else(|| self.message.take());
        Poll::Ready(next.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.prefix.is_none() && self.message.is_none()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_message_is_flag_length_and_bytes() {
        let message = Message::new(Codec::Zstd, Bytes::from_static(b"abc")).unwrap();
        let sent = message.collect().await.unwrap().to_bytes();
        assert_eq!(&sent[..], b"\x01\0\0\0\x03abc");
        let empty = Message::new(Codec::Identity, Bytes::new()).unwrap();
        assert_eq!(&empty.collect().await.unwrap().to_bytes()[..], b"\0\0\0\0\0");
    }
}
