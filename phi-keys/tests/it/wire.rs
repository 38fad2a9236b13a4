//! A server of the test's own that gives single answers.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use serde_json::Value;

/// One request as it arrived.
pub(crate) struct Request {
    /// Method, target and version.
    pub(crate) line: String,
    head: String,
    /// The body as it was sent.
    #[cfg_attr(
        not(feature = "aws"),
        expect(dead_code, reason = "read to count a signature over it, which is made for AWS")
    )]
    pub(crate) text: String,
    /// `Null` where there is none, or none in JSON.
    pub(crate) body: Value,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

/// Gives each answer once, in this order, and tells every request. A body that is text is given as it is.
pub(crate) fn server(answers: Vec<(u16, Value)>) -> (String, mpsc::Receiver<Request>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for (status, body) in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let _ = sender.send(request(&mut stream));
            let body = if body.is_string() { body.as_str().unwrap().to_owned() } else { body.to_string() };
            let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
        // One request more than answers shows as a connection that is refused, and in the count.
    });
    (url, receiver)
}

fn request(stream: &mut TcpStream) -> Request {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && body.len() >= field(head, "content-length").map_or(0, |length| length.parse().unwrap())
        {
            let line = head.lines().next().unwrap().to_owned();
            let (head, text) = (head.to_owned(), body.to_owned());
            return Request { line, head, body: serde_json::from_str(&text).unwrap_or_default(), text };
        }
        let read = stream.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "the request ended early");
        bytes.extend_from_slice(&buffer[..read]);
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
