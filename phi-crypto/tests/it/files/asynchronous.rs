//! The tokio forms: the same files, whatever waits in between.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{Cursor, SeekFrom};

use phi_crypto::file::FileError;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeek, AsyncSeekExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::{CHUNK, open, patient, place, plaintext, seal};
use crate::support::LEASE;

/// Is not ready every other time, and gives and takes little.
struct Choppy<T>(T, bool);

impl<T> Choppy<T> {
    fn waits(&mut self, cx: &Context<'_>) -> bool {
        self.1 = !self.1;
        if self.1 {
            cx.waker().wake_by_ref();
        }
        self.1
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Choppy<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if self.waits(cx) {
            return Poll::Pending;
        }
        let mut part = vec![0; out.remaining().min(9000)];
        let mut part = ReadBuf::new(&mut part);
        let done = Pin::new(&mut self.0).poll_read(cx, &mut part);
        out.put_slice(part.filled());
        done
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Choppy<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        if self.waits(cx) {
            return Poll::Pending;
        }
        Pin::new(&mut self.0).poll_write(cx, &bytes[..bytes.len().min(9000)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.waits(cx) { Poll::Pending } else { Pin::new(&mut self.0).poll_shutdown(cx) }
    }
}

impl<T: AsyncSeek + Unpin> AsyncSeek for Choppy<T> {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> std::io::Result<()> {
        Pin::new(&mut self.0).start_seek(to)
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<u64>> {
        if self.waits(cx) { Poll::Pending } else { Pin::new(&mut self.0).poll_complete(cx) }
    }
}

#[tokio::test]
async fn both_forms_read_what_both_forms_wrote() {
    let (_clinic, sealer, opener) = patient().await;
    for length in [0, 1, CHUNK, 14 * CHUNK, 14 * CHUNK + 1, 20 * CHUNK + 5] {
        let whole = plaintext(length);
        let mut file = sealer.file_async(Choppy(Vec::new(), false), &place()).unwrap();
        for (number, part) in whole.chunks(10_007).enumerate() {
            file.write_all(part).await.unwrap();
            if number % 5 == 0 {
                file.flush().await.unwrap();
            }
        }
        file.shutdown().await.unwrap();
        assert_eq!(file.position(), length as u64);
        assert!(file.write_all(b"more").await.is_err(), "written behind the end");
        let sealed = file.into_inner().0;
        assert!(open(&opener, &sealed).unwrap() == whole, "{length}");

        for sealed in [sealed, seal(&sealer, &whole)] {
            let mut out = Vec::new();
            let source = Choppy(&sealed[..], false);
            opener.file_async(source, &place()).await.unwrap().read_to_end(&mut out).await.unwrap();
            assert!(out == whole, "{length}");
        }
    }
}

#[tokio::test]
async fn without_a_shutdown_there_is_no_file() {
    let (_clinic, sealer, opener) = patient().await;
    let mut file = sealer.file_async(Vec::new(), &place()).unwrap();
    file.write_all(&plaintext(9 * CHUNK)).await.unwrap();
    file.flush().await.unwrap();
    assert!(matches!(open(&opener, &file.into_inner()), Err(FileError::Truncated)));
}

#[tokio::test]
async fn leases_are_renewed_on_the_way() {
    let (clinic, sealer, _opener) = patient().await;
    let whole = plaintext(40 * CHUNK + 5);
    let mut file = sealer.file_async(Vec::new(), &place()).unwrap();
    for part in whole.chunks(5 * CHUNK) {
        clinic.clock.advance(LEASE);
        file.write_all(part).await.unwrap();
    }
    clinic.clock.advance(LEASE);
    file.shutdown().await.unwrap();
    let sealed = file.into_inner();

    let opener = clinic.opener("ada").await;
    let mut file = opener.file_async(Cursor::new(&sealed[..]), &place()).await.unwrap();
    let mut out = Vec::new();
    let mut part = vec![0; 5 * CHUNK];
    loop {
        clinic.clock.advance(LEASE);
        match file.read(&mut part).await.unwrap() {
            0 => break,
            read => out.extend_from_slice(&part[..read]),
        }
    }
    assert!(out == whole);
    clinic.clock.advance(LEASE);
    assert_eq!(file.seek(SeekFrom::End(-1)).await.unwrap(), whole.len() as u64 - 1);
}

#[tokio::test]
async fn a_shred_ends_asynchronous_streams() {
    let (clinic, sealer, opener) = patient().await;
    let sealed = seal(&sealer, &plaintext(20 * CHUNK));
    let mut reading = opener.file_async(&sealed[..], &place()).await.unwrap();
    let mut writing = sealer.file_async(Vec::new(), &place()).unwrap();
    let _report = clinic.keys.shred(&crate::support::subject("ada")).await.unwrap();
    let read = reading.read_u8().await.unwrap_err();
    let written = writing.shutdown().await.unwrap_err();
    for error in [read, written] {
        assert!(matches!(FileError::of(&error), Some(FileError::Keys(phi_keys::Error::Shredded))), "{error:?}");
    }
}

#[tokio::test]
async fn seeks_are_those_of_a_slice() {
    let (_clinic, sealer, opener) = patient().await;
    let whole = plaintext(9 * CHUNK + 40);
    let sealed = seal(&sealer, &whole);
    // The file begins somewhere in its source.
    let bytes = [&[7; 33][..], &sealed].concat();
    let mut source = Cursor::new(&bytes[..]);
    source.set_position(33);
    let mut file = opener.file_async(Choppy(source, false), &place()).await.unwrap();
    let mut model = Cursor::new(&whole[..]);
    let end = i64::try_from(whole.len()).unwrap();
    for to in [
        SeekFrom::Start(0),
        SeekFrom::Start(5),
        SeekFrom::Current(20_000),
        SeekFrom::Current(3),
        SeekFrom::End(-1),
        SeekFrom::Current(-100_000),
        SeekFrom::End(0),
        SeekFrom::Start(u64::try_from(end).unwrap() + 99),
        SeekFrom::Start(9 * CHUNK as u64),
        SeekFrom::End(-end),
        SeekFrom::End(-end - 1),
        SeekFrom::Current(-1),
        SeekFrom::Current(70_000),
    ] {
        let (found, expected) = (file.seek(to).await, std::io::Seek::seek(&mut model, to));
        assert_eq!(found.ok(), expected.ok(), "{to:?}");
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        (&mut file).take(30_000).read_to_end(&mut found).await.unwrap();
        std::io::Read::read_to_end(&mut std::io::Read::take(&mut model, 30_000), &mut expected).unwrap();
        assert!(found == expected, "{to:?}");
    }
}

#[tokio::test]
async fn an_end_that_nobody_sealed_is_refused_and_reading_goes_on() {
    let (_clinic, sealer, opener) = patient().await;
    let whole = plaintext(3 * CHUNK + 40);
    let sealed = seal(&sealer, &whole);
    let cut = &sealed[..sealed.len() - 20];
    let mut file = opener.file_async(Cursor::new(cut), &place()).await.unwrap();
    assert_eq!(file.read_u8().await.unwrap(), whole[0]);
    for to in [SeekFrom::End(0), SeekFrom::Start(u64::MAX / 2)] {
        let error = file.seek(to).await.unwrap_err();
        assert!(matches!(FileError::of(&error), Some(FileError::Refused)), "{error:?}");
    }
    assert_eq!(file.read_u8().await.unwrap(), whole[1]);
    let mut rest = Vec::new();
    assert!(file.read_to_end(&mut rest).await.is_err());
    assert!(whole[2..].starts_with(&rest));
}

#[tokio::test]
async fn files_on_disk_are_sealed_and_opened() {
    let (_clinic, sealer, opener) = patient().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scan");
    let whole = plaintext(20 * CHUNK + 5);
    let mut file = sealer.file_async(tokio::fs::File::create(&path).await.unwrap(), &place()).unwrap();
    file.write_all(&whole).await.unwrap();
    file.shutdown().await.unwrap();
    let mut file = opener.file_async(tokio::fs::File::open(&path).await.unwrap(), &place()).await.unwrap();
    assert_eq!(file.seek(SeekFrom::End(-7)).await.unwrap(), whole.len() as u64 - 7);
    let mut end = Vec::new();
    file.read_to_end(&mut end).await.unwrap();
    assert_eq!(end, whole[whole.len() - 7..]);
}
