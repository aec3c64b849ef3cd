//! A Kafka cluster in this process: brokers that speak the requests a producer sends, keep what they are
//! given, and check it as a real one does (lengths, CRC-32C, offsets, `acks=all`). It is told what to get
//! wrong.
#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub const TOPIC: &str = "logs";

pub const NOT_LEADER: i16 = 6;
const MESSAGE_TOO_LARGE: i16 = 10;
const UNKNOWN_TOPIC: i16 = 3;
const UNSUPPORTED_MECHANISM: i16 = 33;
const AUTHENTICATION_FAILED: i16 = 58;

const PRODUCE: i16 = 0;
const METADATA: i16 = 3;
const SASL_HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const SASL_AUTHENTICATE: i16 = 36;

/// A record as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    pub partition: i32,
    pub key: Option<String>,
    pub value: String,
    pub headers: BTreeMap<String, String>,
    pub millis: i64,
}

/// What happens to a produce request instead of being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this error.
    Code(i16),
    /// The connection ends before anything is kept.
    CloseBefore,
    /// The connection ends when all is kept, without an answer.
    CloseAfter,
    /// All is kept, and said to begin where no second record has an offset.
    LastOffset,
}

/// What a server says to a client's message: its own, or that it will not have it.
pub type Login = fn(mechanism: &str, step: usize, said: &[u8]) -> Option<Vec<u8>>;

pub struct State {
    /// The broker that leads each partition; -1 for none.
    pub leaders: Vec<i32>,
    /// By broker: where it listens.
    pub addresses: Vec<SocketAddr>,
    /// The host that metadata names.
    pub host: String,
    pub got: Vec<Got>,
    /// Requests that were to write something: partitions and records.
    pub requests: Vec<(i32, usize)>,
    /// What happens to the next requests that write.
    pub faults: VecDeque<Fault>,
    /// A partition that answers nothing but this.
    pub broken: Option<(i32, i16)>,
    /// Largest batch that is taken, in bytes.
    pub batch_bytes_max: usize,
    pub topic_is_there: bool,
    /// Connections that are open.
    pub connections: usize,
    /// How long a request to write waits for its answer.
    pub pause: Duration,
    /// Requests to write that wait, and the most that ever did.
    pub waiting: (usize, usize),
    /// The mechanism, and how it is spoken.
    pub login: Option<(&'static str, Login)>,
}

/// Brokers with the ids 0, 1, ...
pub struct Cluster {
    state: Arc<Mutex<State>>,
    running: Vec<Option<JoinHandle<()>>>,
    wrap: Wrap,
}

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

type Wrapping = Pin<Box<dyn Future<Output = Option<Box<dyn Stream>>> + Send>>;
/// What is done with a connection first, such as TLS.
pub type Wrap = Arc<dyn Fn(TcpStream) -> Wrapping + Send + Sync>;

pub fn plain() -> Wrap {
    Arc::new(|stream| Box::pin(async move { Some(Box::new(stream) as Box<dyn Stream>) }))
}

impl Cluster {
    pub async fn start(brokers: usize, partitions: usize) -> Cluster {
        Cluster::start_with(brokers, partitions, plain()).await
    }

    pub async fn start_with(brokers: usize, partitions: usize, wrap: Wrap) -> Cluster {
        let mut cluster = Cluster {
            state: Arc::new(Mutex::new(State {
                leaders: (0..partitions).map(|number| (number % brokers) as i32).collect(),
                addresses: Vec::new(),
                host: "127.0.0.1".to_owned(),
                got: Vec::new(),
                requests: Vec::new(),
                faults: VecDeque::new(),
                broken: None,
                batch_bytes_max: 1_048_588,
                topic_is_there: true,
                connections: 0,
                pause: Duration::ZERO,
                waiting: (0, 0),
                login: None,
            })),
            running: Vec::new(),
            wrap,
        };
        for _ in 0..brokers {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            cluster.state().addresses.push(listener.local_addr().unwrap());
            cluster.running.push(None);
            let broker = cluster.running.len() - 1;
            cluster.serve(broker, listener);
        }
        cluster
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The address as the settings have it: all brokers.
    pub fn url(&self) -> String {
        let state = self.state();
        let places: Vec<String> = state.addresses.iter().map(ToString::to_string).collect();
        format!("tcp://{}", places.join(","))
    }

    /// Ends a broker and its connections.
    pub async fn stop(&mut self, broker: usize) {
        if let Some(running) = self.running[broker].take() {
            running.abort();
            let _ = running.await;
        }
    }

    /// Starts a broker again where it was.
    pub async fn start_again(&mut self, broker: usize) {
        let address = self.state().addresses[broker];
        let listener = TcpListener::bind(address).await.unwrap();
        self.serve(broker, listener);
    }

    fn serve(&mut self, broker: usize, listener: TcpListener) {
        let (state, wrap) = (self.state.clone(), self.wrap.clone());
        self.running[broker] = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let connection = Connection { state: state.clone(), broker, step: None };
                let wrapped = wrap(stream);
                connections.spawn(async move {
                    if let Some(stream) = wrapped.await {
                        let state = connection.state.clone();
                        state.lock().unwrap().connections += 1;
                        connection.speak(stream).await;
                        state.lock().unwrap().connections -= 1;
                    }
                });
            }
        }));
    }
}

struct Connection {
    state: Arc<Mutex<State>>,
    broker: usize,
    /// Messages of a login so far; `None` before its handshake.
    step: Option<usize>,
}

impl Connection {
    async fn speak(mut self, mut stream: Box<dyn Stream>) {
        loop {
            let Ok(length) = stream.read_i32().await else { return };
            let mut message = vec![0; usize::try_from(length).unwrap()];
            if stream.read_exact(&mut message).await.is_err() {
                return;
            }
            if message.starts_with(&PRODUCE.to_be_bytes()) {
                self.wait().await;
            }
            let Some(answer) = self.answer(&message) else { return };
            let length = i32::try_from(answer.len()).unwrap();
            let mut framed = length.to_be_bytes().to_vec();
            framed.extend(answer);
            if stream.write_all(&framed).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
    }

    async fn wait(&self) {
        let pause = {
            let mut state = self.state.lock().unwrap();
            let (waiting, most) = state.waiting;
            state.waiting = (waiting + 1, most.max(waiting + 1));
            state.pause
        };
        tokio::time::sleep(pause).await;
        self.state.lock().unwrap().waiting.0 -= 1;
    }

    /// The answer with its header; `None` ends the connection.
    fn answer(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let mut read = Reader(message);
        let (api, version, correlation) = (read.i16(), read.i16(), read.i32());
        read.nullable_string();
        let mut out = Writer(correlation.to_be_bytes().to_vec());
        let state = self.state.clone();
        let mut state = state.lock().unwrap();
        let logged_in = state.login.is_none() || self.step == Some(usize::MAX);
        match api {
            API_VERSIONS => {
                assert_eq!(version, 3);
                versions(&mut out);
            }
            SASL_HANDSHAKE => self.handshake(&state, read, &mut out),
            SASL_AUTHENTICATE => self.authenticate(&state, read, &mut out),
            // A real one also ends the connection of who has not said who he is.
            _ if !logged_in => return None,
            METADATA => {
                assert_eq!(version, 4);
                metadata(&state, read, &mut out);
            }
            PRODUCE => {
                assert_eq!(version, 7);
                produce(&mut state, self.broker, read, &mut out)?;
            }
            other => panic!("request {other}"),
        }
        Some(out.0)
    }

    fn handshake(&mut self, state: &State, mut read: Reader<'_>, out: &mut Writer) {
        let asked = read.string();
        let (mechanism, _) = state.login.unwrap();
        out.i16(if asked == mechanism { 0 } else { UNSUPPORTED_MECHANISM });
        out.i32(1);
        out.string(mechanism);
        self.step = Some(0);
    }

    fn authenticate(&mut self, state: &State, mut read: Reader<'_>, out: &mut Writer) {
        let said = read.bytes();
        let (mechanism, login) = state.login.unwrap();
        let step = self.step.unwrap();
        match login(mechanism, step, said) {
            Some(answer) => {
                // PLAIN and OAUTHBEARER are done at once, SCRAM with its second message.
                let is_last = !mechanism.starts_with("SCRAM") || step == 1;
                self.step = Some(if is_last { usize::MAX } else { step + 1 });
                out.i16(0);
                out.i16(-1);
                out.bytes(&answer);
            }
            None => {
                out.i16(AUTHENTICATION_FAILED);
                out.string("wrong");
                out.bytes(&[]);
            }
        }
    }
}

fn versions(out: &mut Writer) {
    let known = [
        (PRODUCE, 3, 9),
        (METADATA, 0, 4),
        (SASL_HANDSHAKE, 1, 1),
        (API_VERSIONS, 0, 3),
        (SASL_AUTHENTICATE, 0, 0),
    ];
    out.i16(0);
    out.0.push(known.len() as u8 + 1);
    for (api, least, most) in known {
        out.i16(api);
        out.i16(least);
        out.i16(most);
        out.0.push(0);
    }
    out.i32(0);
    out.0.push(0);
}

fn metadata(state: &State, mut read: Reader<'_>, out: &mut Writer) {
    let asked = read.i32();
    let asked: Option<Vec<String>> =
        (asked >= 0).then(|| (0..asked).map(|_| read.string()).collect());
    out.i32(0);
    out.i32(state.addresses.len() as i32);
    for (id, address) in state.addresses.iter().enumerate() {
        out.i32(id as i32);
        out.string(&state.host);
        out.i32(i32::from(address.port()));
        out.i16(-1);
    }
    out.i16(-1);
    out.i32(0);
    let all = if state.topic_is_there { vec![TOPIC.to_owned()] } else { Vec::new() };
    let topics = asked.unwrap_or(all);
    out.i32(topics.len() as i32);
    for topic in topics {
        let is_there = state.topic_is_there && topic == TOPIC;
        out.i16(if is_there { 0 } else { UNKNOWN_TOPIC });
        out.string(&topic);
        out.0.push(0);
        let leaders: &[i32] = if is_there { &state.leaders } else { &[] };
        out.i32(leaders.len() as i32);
        for (number, leader) in leaders.iter().enumerate() {
            out.i16(0);
            out.i32(number as i32);
            out.i32(*leader);
            out.i32(0);
            out.i32(0);
        }
    }
}

fn produce(state: &mut State, broker: usize, mut read: Reader<'_>, out: &mut Writer) -> Option<()> {
    assert_eq!(read.nullable_string(), None);
    assert_eq!(read.i16(), -1, "all replicas have to have it");
    read.i32();
    assert_eq!(read.i32(), 1, "one topic");
    let topic = read.string();
    assert_eq!(read.i32(), 1, "one partition");
    let partition = read.i32();
    let batch = read.bytes();
    assert!(read.0.is_empty());
    let records = records(partition, batch);
    state.requests.push((partition, records.len()));
    let leads = state.leaders[partition as usize] == broker as i32;
    let fault = if leads { state.faults.pop_front() } else { None };
    let broken = state.broken.filter(|(broken, _)| *broken == partition).map(|(_, code)| code);
    let code = match fault {
        _ if topic != TOPIC || !state.topic_is_there => UNKNOWN_TOPIC,
        _ if !leads => NOT_LEADER,
        Some(Fault::Code(code)) => code,
        Some(Fault::CloseBefore) => return None,
        _ if broken.is_some() => broken.unwrap(),
        _ if batch.len() > state.batch_bytes_max => MESSAGE_TOO_LARGE,
        _ => 0,
    };
    let offset = state.got.iter().filter(|got| got.partition == partition).count();
    if code == 0 {
        state.got.extend(records);
    }
    if fault == Some(Fault::CloseAfter) {
        return None;
    }
    out.i32(1);
    out.string(&topic);
    out.i32(1);
    out.i32(partition);
    out.i16(code);
    out.i64(match code {
        0 if fault == Some(Fault::LastOffset) => i64::MAX,
        0 => offset as i64,
        _ => -1,
    });
    out.i64(-1);
    out.i64(0);
    out.i32(0);
    Some(())
}

/// The records of a batch (message format 2), every length, number and checksum of it checked.
fn records(partition: i32, batch: &[u8]) -> Vec<Got> {
    let mut read = Reader(batch);
    read.i64();
    assert_eq!(read.i32() as usize, batch.len() - 12, "the batch's length");
    read.i32();
    assert_eq!(read.take(1), [2], "message format 2");
    let crc = read.i32() as u32;
    assert_eq!(crc, crc32c::crc32c(read.0), "CRC-32C");
    assert_eq!(read.i16(), 0, "no compression, no transaction");
    let last = read.i32();
    let (first_millis, last_millis) = (read.i64(), read.i64());
    assert_eq!((read.i64(), read.i16(), read.i32()), (-1, -1, -1), "no idempotent producer");
    let count = read.i32();
    assert_eq!(last, count - 1);
    let records: Vec<Got> = (0..count)
        .map(|number| {
            let length = read.varint();
            let mut record = Reader(read.take(length as usize));
            assert_eq!(record.take(1), [0]);
            let millis = first_millis + record.varint();
            assert!(millis <= last_millis);
            assert_eq!(record.varint(), i64::from(number));
            let key = record.varbytes().map(text);
            let value = text(record.varbytes().unwrap());
            let headers = (0..record.varint())
                .map(|_| {
                    let name = text(record.varbytes().unwrap());
                    (name, text(record.varbytes().unwrap()))
                })
                .collect();
            assert!(record.0.is_empty());
            Got { partition, key, value, headers, millis }
        })
        .collect();
    assert!(read.0.is_empty());
    records
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take(8).try_into().unwrap())
    }

    fn nullable_string(&mut self) -> Option<String> {
        let length = usize::try_from(self.i16()).ok()?;
        Some(text(self.take(length)))
    }

    fn string(&mut self) -> String {
        self.nullable_string().unwrap()
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::try_from(self.i32()).unwrap();
        self.take(length)
    }

    /// Zigzag, seven bits a byte.
    fn varint(&mut self) -> i64 {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let byte = self.take(1)[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return (value >> 1) as i64 ^ -((value & 1) as i64);
            }
            shift += 7;
        }
    }

    fn varbytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()).ok()?;
        Some(self.take(length))
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn i16(&mut self, value: i16) {
        self.0.extend(value.to_be_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.0.extend(value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.0.extend(value.to_be_bytes());
    }

    fn string(&mut self, value: &str) {
        self.i16(value.len() as i16);
        self.0.extend(value.as_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.i32(value.len() as i32);
        self.0.extend(value);
    }
}
