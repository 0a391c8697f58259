//! TLS on the server's own sockets: the same server beneath it, and nothing that a peer can do to it there.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use loopgate::app::Reply;
use loopgate::config::{Config, Limits, TlsFiles};
use loopgate::http::{Method, Response, Status};
use loopgate::server::Stopped;
use rustix::process::Signal;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{
    Client, Directory, PATIENCE, Program, TestServer, config, get, login, post, request, signed,
    wait_until,
};
use crate::listeners::{Sse, id_of, publication};
use crate::run::run;

pub(crate) type Secure = Client<StreamOwned<ClientConnection, TcpStream>>;

/// A certificate for `localhost` and its key, as files.
pub(crate) struct Certificate {
    pem: String,
    key_pem: String,
    der: rustls::pki_types::CertificateDer<'static>,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        Self {
            pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
            der: made.cert.der().clone(),
        }
    }

    pub(crate) fn write(&self, directory: &Path) -> TlsFiles {
        let files = TlsFiles {
            certificate: directory.join("cert.pem"),
            key: directory.join("key.pem"),
        };
        std::fs::write(&files.certificate, &self.pem).expect("written");
        std::fs::write(&files.key, &self.key_pem).expect("written");
        files
    }

    /// What a client is that trusts this certificate.
    pub(crate) fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a certificate");
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

pub(crate) const BOTH: &[&SupportedProtocolVersion] = rustls::ALL_VERSIONS;

fn session(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::clone(config), name).expect("a session")
}

fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream.set_nodelay(true).expect("an option");
    stream
}

pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Secure {
    Client::over(StreamOwned::new(session(config), tcp(address)))
}

/// A server of this test's with a certificate, and the configuration of a client that trusts it.
struct Secured {
    server: TestServer,
    client: Arc<ClientConfig>,
    _files: TempDir,
}

impl Secured {
    fn with(
        limits: Limits,
        prepare: impl FnOnce(&mut loopgate::server::Server) + Send + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let certificate = Certificate::new();
        let config = Config {
            tls: Some(certificate.write(directory.path())),
            limits,
            ..config()
        };
        Self {
            server: TestServer::with(config, prepare),
            client: Arc::new(certificate.client(BOTH)),
            _files: directory,
        }
    }

    fn start() -> Self {
        Self::with(Limits::default(), |_| {})
    }

    fn connect(&self) -> Secure {
        connect(self.server.address, &self.client)
    }

    fn tcp(&self) -> TcpStream {
        tcp(self.server.address)
    }

    /// Returns when the loop has read what was sent before.
    fn catch_up(&self) {
        assert_eq!(self.connect().ask(get("/healthz")).status, 200);
    }
}

#[test]
fn cookies_are_for_tls_only_and_browsers_are_told_to_come_back_with_it() {
    let secured = Secured::start();
    let answer = secured.connect().ask(login("alice", "password"));
    assert_eq!(answer.status, 200);
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("; Secure"), "{cookie}");
    let told = answer.header("strict-transport-security");
    assert_eq!(told, Some("max-age=31536000"));
    let told = secured.connect().ask(get("/nowhere"));
    assert!(told.header("strict-transport-security").is_some());

    let plain = TestServer::start()
        .connect()
        .ask(login("alice", "password"));
    assert!(!plain.header("set-cookie").expect("one").contains("Secure"));
    assert_eq!(plain.header("strict-transport-security"), None);
}

#[test]
fn a_page_that_came_without_tls_is_another_site() {
    let secured = Secured::start();
    let mut client = secured.connect();
    let sign = client.log_in("alice");
    let cookie = format!("session={sign}");
    let logout = |origin: &str| {
        let fields = [
            ("Cookie", &*cookie),
            ("Origin", origin),
            ("Content-Length", "0"),
        ];
        request("POST", "/logout", &fields)
    };
    let host = logout("").lines().nth(1).expect("Host")[6..].to_owned();
    let answer = client.ask(logout(&format!("http://{host}")));
    assert_eq!((answer.status, answer.code()), (403, "cross_site".into()));
    assert_eq!(client.ask(logout(&format!("https://{host}"))).status, 200);
}

#[test]
fn both_versions_are_spoken_and_http_1_1_alone_on_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificate = Certificate::new();
    let server = TestServer::with(
        Config {
            tls: Some(certificate.write(directory.path())),
            ..config()
        },
        |_| {},
    );
    for (version, number) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        for (offered, agreed) in [
            (vec!["h2", "http/1.1"], Some("http/1.1")),
            (vec!["http/1.1"], Some("http/1.1")),
            (vec![], None),
        ] {
            let mut config = certificate.client(&[version]);
            config.alpn_protocols = offered.iter().map(|name| name.as_bytes().into()).collect();
            let mut client = connect(server.address, &Arc::new(config));
            assert_eq!(client.ask(get("/healthz")).status, 200);
            let session = &client.stream.conn;
            assert_eq!(session.protocol_version(), Some(number));
            assert_eq!(session.alpn_protocol(), agreed.map(str::as_bytes));
        }
        let mut config = certificate.client(&[version]);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let mut refused = session(&Arc::new(config));
        let error = refused.complete_io(&mut tcp(server.address)).unwrap_err();
        assert!(
            error.to_string().contains("NoApplicationProtocol"),
            "{error}"
        );
    }
}

/// The program with a certificate, in a directory where the certificate can be replaced.
fn program(directory: &Directory, certificate: &Certificate) -> Program {
    certificate.write(directory.path());
    Program::start_in(
        directory,
        &["--tls-cert", "cert.pem", "--tls-key", "key.pem"],
    )
}

fn shown_to(client: &Secure) -> &[u8] {
    &client.stream.conn.peer_certificates().expect("shown")[0]
}

#[test]
fn a_certificate_is_replaced_and_no_client_is_disconnected() {
    let directory = Directory::new();
    directory.add_users();
    let (first, second) = (Certificate::new(), Certificate::new());
    let server = program(&directory, &first);
    let trusts_first = Arc::new(first.client(BOTH));
    let mut open = connect(server.address, &trusts_first);
    assert_eq!(open.ask(get("/healthz")).status, 200);
    assert_eq!(shown_to(&open), &*first.der);

    let log_has = |words: &str| {
        wait_until(words, || directory.log().contains(words).then_some(()));
    };
    std::fs::write(directory.path().join("cert.pem"), "no certificate").expect("written");
    server.signal(Signal::HUP);
    log_has("the certificate in use is kept");
    assert_eq!(
        connect(server.address, &trusts_first)
            .ask(get("/healthz"))
            .status,
        200
    );

    second.write(directory.path());
    server.signal(Signal::HUP);
    log_has("the certificate was read again");
    assert_eq!(open.ask(get("/healthz")).status, 200);
    // A client from before need not be shown the new one: its session goes on.
    let mut again = connect(server.address, &trusts_first);
    assert_eq!(again.ask(get("/healthz")).status, 200);
    assert_eq!(
        again.stream.conn.handshake_kind(),
        Some(HandshakeKind::Resumed)
    );
    let mut new = connect(server.address, &Arc::new(second.client(BOTH)));
    assert_eq!(new.ask(get("/healthz")).status, 200);
    assert_eq!(shown_to(&new), &*second.der);
}

#[test]
fn sessions_are_resumed_in_both_versions() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificate = Certificate::new();
    let tls = Some(certificate.write(directory.path()));
    let server = TestServer::with(Config { tls, ..config() }, |_| {});
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(certificate.client(&[version]));
        let kinds = [(); 3].map(|()| {
            let mut client = connect(server.address, &config);
            assert_eq!(client.ask(get("/healthz")).status, 200);
            client.stream.conn.handshake_kind()
        });
        let [first, rest @ ..] = kinds;
        assert_ne!(first, Some(HandshakeKind::Resumed));
        assert_eq!(rest, [Some(HandshakeKind::Resumed); 2], "{version:?}");
    }
}

#[test]
fn what_cannot_be_a_certificate_is_said_at_the_start() {
    let directory = Directory::new();
    directory.add_users();
    let (one, other) = (Certificate::new(), Certificate::new());
    one.write(directory.path());
    for (name, text) in [
        ("other.pem", &*other.key_pem),
        ("empty.pem", ""),
        (
            "damaged.pem",
            "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n",
        ),
    ] {
        std::fs::write(directory.path().join(name), text).expect("written");
    }
    let serve = |options: &[&str]| {
        let usual = ["serve", "--listen", "127.0.0.1:0"];
        run(directory.command(&[&usual, options].concat()))
    };
    for (certificate, key, words) in [
        ("none.pem", "key.pem", ["none.pem", "--tls-cert"]),
        ("cert.pem", "none.pem", ["none.pem", "--tls-key"]),
        (
            "empty.pem",
            "key.pem",
            ["empty.pem", "holds no certificate"],
        ),
        ("damaged.pem", "key.pem", ["damaged.pem", "is damaged"]),
        ("key.pem", "key.pem", ["key.pem", "holds no certificate"]),
        ("cert.pem", "cert.pem", ["cert.pem", "holds no private key"]),
        (
            "cert.pem",
            "other.pem",
            ["other.pem", "cannot be used together"],
        ),
    ] {
        serve(&["--tls-cert", certificate, "--tls-key", key]).failed_with(1, &words);
    }
    for alone in [["--tls-cert", "cert.pem"], ["--tls-key", "key.pem"]] {
        assert_eq!(serve(&alone).code, Some(2), "{alone:?} without the other");
    }
}

#[test]
fn a_client_that_does_not_finish_the_handshake_is_cut() {
    let secured = Secured::with(
        Limits {
            handshake_timeout: Duration::from_millis(300),
            ..Limits::default()
        },
        |_| {},
    );
    let mut idle = secured.connect();
    assert_eq!(idle.ask(get("/healthz")).status, 200);
    let mut hello = Vec::new();
    session(&secured.client)
        .write_tls(&mut hello)
        .expect("memory");
    let mut clients: Vec<TcpStream> = (0..3).map(|_| secured.tcp()).collect();
    clients[1]
        .write_all(&hello[..hello.len() / 2])
        .expect("sent");
    // Byte by byte gives no more time than at once.
    let mut dripping = clients[2].try_clone().expect("a descriptor");
    let dripper = std::thread::spawn(move || {
        for byte in hello.chunks(1).cycle() {
            if dripping.write_all(byte).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    for mut client in clients {
        match client.read(&mut [0; 16]) {
            Ok(0) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            Ok(_) => panic!("there is nothing to say"),
        }
        let _ = client.shutdown(Shutdown::Both);
    }
    dripper.join().expect("it ends");
    // A client that has finished it has the time that idle connections have.
    assert_eq!(idle.ask(get("/healthz")).status, 200);
}

#[test]
fn a_client_that_speaks_http_is_told_to_use_tls() {
    let secured = Secured::start();
    let mut client = secured.server.connect();
    let answer = client.ask(get("/healthz"));
    assert_eq!((answer.status, answer.code()), (400, "tls_needed".into()));
    assert!(client.ends());
}

#[test]
fn garbage_costs_nothing_but_its_own_connection() {
    let secured = Secured::start();
    let mut open = secured.connect();
    let mut hello = Vec::new();
    session(&secured.client)
        .write_tls(&mut hello)
        .expect("memory");
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    for round in 0..300 {
        let mut bytes = hello.clone();
        for _ in 0..=random(8) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes.truncate(at + 1),
                _ => bytes.insert(at, random(256) as u8),
            }
        }
        let mut client = secured.tcp();
        client.write_all(&bytes).expect("sent");
        client.shutdown(Shutdown::Write).expect("open");
        // The answer does not matter, but it ends.
        let mut answer = Vec::new();
        if let Err(error) = client.read_to_end(&mut answer) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "round {round}");
        }
        if round % 50 == 0 {
            assert_eq!(open.ask(get("/healthz")).status, 200);
        }
    }
    drop(open);
    assert_eq!(secured.server.stop().stopped, Stopped::Drained);
}

/// The records in which a client sends these bytes, piece by piece, once its handshake is done.
fn records<'p>(client: &mut Secure, pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<u8> {
    let mut records = Vec::new();
    for piece in pieces {
        let session = &mut client.stream.conn;
        session.writer().write_all(piece).expect("room");
        while session.wants_write() {
            session.write_tls(&mut records).expect("memory");
        }
    }
    records
}

#[test]
fn requests_are_cut_into_records_in_any_way() {
    let secured = Secured::start();
    let mut client = secured.connect();
    assert_eq!(client.ask(get("/healthz")).status, 200);
    // More in one record than are answered in one turn; many records in one segment; and a byte in each.
    let many = get("/healthz").repeat(200);
    let one = get("/healthz");
    for (pieces, count) in [
        (vec![many.as_bytes()], 200),
        (many.as_bytes().chunks(97).collect(), 200),
        (one.as_bytes().chunks(1).collect(), 1),
    ] {
        let sent = records(&mut client, pieces);
        client.stream.sock.write_all(&sent).expect("sent");
        for _ in 0..count {
            assert_eq!(client.answer().status, 200);
        }
    }
    // Records, byte by byte.
    let sent = records(&mut client, [get("/readyz").as_bytes()]);
    for byte in sent.chunks(1) {
        client.stream.sock.write_all(byte).expect("sent");
    }
    assert_eq!(client.answer().status, 200);
    // The largest body, which is several records, with a request behind it.
    let mut body = json!({"username": "alice", "password": "password"}).to_string();
    body += &" ".repeat(65_536 - body.len());
    client.send(post("/login", "application/json", &body) + &get("/healthz"));
    assert_eq!([client.answer().status, client.answer().status], [200, 200]);
}

#[test]
fn a_broken_record_ends_the_connection_after_any_bytes() {
    let secured = Secured::start();
    for before in [String::new(), get("/healthz"), get("/healthz").repeat(40)] {
        let mut client = secured.connect();
        assert_eq!(client.ask(get("/healthz")).status, 200);
        let mut sent = records(&mut client, [before.as_bytes()]);
        sent.extend(b"\x17\x03\x03\x00\x20");
        sent.extend([7; 32]);
        client.stream.sock.write_all(&sent).expect("sent");
        let error = loop {
            match client.stream.read(&mut [0; 4096]) {
                Ok(count) => assert!(count > 0, "it ends without an alert"),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
        while client.stream.sock.read(&mut [0; 4096]).expect("the end") > 0 {}
    }
}

#[test]
fn a_tls_end_is_announced_and_a_half_closed_client_is_still_served() {
    let secured = Secured::with(
        Limits {
            head_timeout: Duration::from_millis(300),
            ..Limits::default()
        },
        |_| {},
    );
    // `ends` fails where no close_notify came.
    let mut client = secured.connect();
    let answer = client.ask(request("GET", "/healthz", &[("Connection", "close")]));
    assert_eq!(answer.status, 200);
    assert!(client.ends());

    let mut slow = secured.connect();
    slow.send("GET /healthz");
    assert_eq!(slow.answer().status, 408);
    assert!(slow.ends());

    // A client that has nothing more to send still gets its answer.
    let mut half = secured.connect();
    assert_eq!(half.ask(get("/healthz")).status, 200);
    half.send(login("alice", "password"));
    half.stream.conn.send_close_notify();
    half.stream.flush().expect("sent");
    assert_eq!(half.answer().status, 200);
    assert!(half.ends());

    let mut idle = secured.connect();
    assert_eq!(idle.ask(get("/healthz")).status, 200);
    let gone = secured.connect();
    drop(gone.stream.sock);
    assert_eq!(secured.server.stop().stopped, Stopped::Drained);
    assert!(idle.ends());
}

/// Answers of so many bytes, whole and in pieces.
fn large(server: &mut loopgate::server::Server) {
    server.on(Method::Get, "/whole", |_, _| {
        Reply::text(200, "x".repeat(LARGE))
    });
    server.on(Method::Get, "/pieces", |_, _| {
        let head = Response::text(Status::OK, "");
        let piece = "x".repeat(LARGE / 64);
        Reply::stream(head, (0..64).map(move |_| piece.clone().into_bytes()))
    });
}

const LARGE: usize = 8 << 20;

#[test]
fn a_large_answer_arrives_whole_however_slowly_it_is_read() {
    let secured = Secured::with(Limits::default(), large);
    for target in ["/whole", "/pieces"] {
        let mut client = secured.connect();
        client.send(get(target) + &get("/healthz"));
        secured.catch_up();
        for _ in 0..1000 {
            client.take(100);
        }
        let answer = client.answer();
        assert_eq!(answer.body.len(), LARGE, "{target}");
        assert!(answer.body.bytes().all(|byte| byte == b'x'), "{target}");
        assert_eq!(client.answer().status, 200, "{target}");
    }
}

#[test]
fn a_peer_that_takes_nothing_is_cut() {
    let secured = Secured::with(
        Limits {
            write_timeout: Duration::from_millis(300),
            ..Limits::default()
        },
        large,
    );
    let stalled = ["/whole", "/pieces"].map(|target| {
        let mut client = secured.connect();
        client.send(get(target));
        client
    });
    secured.catch_up();
    // Only when both are cut, which have not read a byte.
    assert_eq!(secured.server.stop().stopped, Stopped::Drained);
    for mut client in stalled {
        let (mut bytes, mut taken) = (vec![0; 64 * 1024], 0);
        while let Ok(count @ 1..) = client.stream.sock.read(&mut bytes) {
            taken += count;
        }
        assert!(taken < LARGE, "it was given all the time");
    }
}

#[test]
fn events_are_followed_over_tls() {
    let secured = Secured::start();
    let mut client = secured.connect();
    let sign = client.log_in("admin");
    let mut follower = Sse::open(secured.connect(), &sign, "pattern=test");
    let mut producer = secured.connect();
    let ids: Vec<u64> = (0..100)
        .map(|n| {
            let body = json!({"name": "test", "data": {"n": n}});
            let answer = producer.ask(publication(&sign, &body));
            assert_eq!(answer.status, 202);
            id_of(&answer.json())
        })
        .collect();
    for id in ids {
        assert_eq!(id_of(&follower.event()), id);
    }
    assert_eq!(client.ask(signed("POST", "/logout", &sign)).status, 200);
    while follower.frame().is_some() {}
}

#[test]
fn a_socket_on_a_path_stays_plain() {
    let directory = Directory::new();
    directory.add_users();
    let certificate = Certificate::new();
    certificate.write(directory.path());
    let path = directory.path().join("socket");
    let listen = format!("unix:{}", path.display());
    let options = [
        "--tls-cert",
        "cert.pem",
        "--tls-key",
        "key.pem",
        "--listen",
        &listen,
    ];
    let server = Program::start_in(&directory, &options);
    let mut plain = Client::over(std::os::unix::net::UnixStream::connect(&path).expect("there"));
    let answer = plain.ask(get("/healthz"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("strict-transport-security"), None);
    let mut secure = connect(server.address, &Arc::new(certificate.client(BOTH)));
    assert_eq!(secure.ask(get("/healthz")).status, 200);
}

#[test]
fn many_handshakes_at_once_do_not_keep_other_clients_waiting() {
    let secured = Secured::start();
    let mut open = secured.connect();
    assert_eq!(open.ask(get("/healthz")).status, 200);
    let (address, config) = (secured.server.address, &secured.client);
    std::thread::scope(|scope| {
        let crowd: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    let clients: Vec<TcpStream> = (0..50).map(|_| tcp(address)).collect();
                    for stream in clients {
                        let stream = StreamOwned::new(session(config), stream);
                        assert_eq!(Client::over(stream).ask(get("/healthz")).status, 200);
                    }
                })
            })
            .collect();
        while !crowd.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            assert_eq!(open.ask(get("/healthz")).status, 200);
        }
        for each in crowd {
            each.join().expect("everyone is served");
        }
    });
}

/// A peer's end, or that it goes on.
fn is_over(client: &mut TcpStream, within: Duration) -> bool {
    client.set_read_timeout(Some(within)).expect("an option");
    match client.read(&mut [0; 16]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn what_a_session_holds_of_an_unfinished_handshake_counts() {
    let limits = Limits {
        unfinished_bytes_max: 100_000,
        ..Limits::default()
    };
    let secured = Secured::with(limits, |_| {});
    // A ClientHello of 58 KB in whole records, but for its end.
    let mut hello = vec![1, 0, 0xe2, 0x90];
    hello.resize(50_000, 0);
    let mut records = Vec::new();
    for piece in hello.chunks(16_000) {
        records.extend([22, 3, 1]);
        records.extend((piece.len() as u16).to_be_bytes());
        records.extend(piece);
    }
    let mut first = secured.tcp();
    first.write_all(&records).expect("sent");
    secured.catch_up();
    for _ in 0..3 {
        let mut other = secured.tcp();
        let _ = other.write_all(&records);
        assert!(is_over(&mut other, PATIENCE), "there is room for one");
    }
    assert!(!is_over(&mut first, Duration::from_millis(50)));
    // A client that sends an ordinary hello is served, and what the others held is given back.
    secured.catch_up();
    drop(first);
    secured.catch_up();
    let mut other = secured.tcp();
    other.write_all(&records).expect("sent");
    secured.catch_up();
    assert!(!is_over(&mut other, Duration::from_millis(50)));
}

#[test]
fn what_a_session_holds_of_a_record_in_part_counts() {
    let limits = Limits {
        unfinished_bytes_max: 40_000,
        ..Limits::default()
    };
    let secured = Secured::with(limits, |_| {});
    let mut part = b"\x17\x03\x03\x40\x00".to_vec();
    part.resize(15_000, 0);
    let mut clients: Vec<Secure> = (0..3)
        .map(|_| {
            let mut client = secured.connect();
            assert_eq!(client.ask(get("/healthz")).status, 200);
            client
        })
        .collect();
    for client in &mut clients[..2] {
        client.stream.sock.write_all(&part).expect("sent");
        secured.catch_up();
    }
    clients[2].stream.sock.write_all(&part).expect("sent");
    let refused = clients[2].answer();
    assert_eq!((refused.status, &*refused.code()), (503, "overloaded"));
    assert!(clients[2].ends());
    // A record that is whole is held no more: what it was is for the reader, here nothing good.
    for client in &mut clients[..2] {
        client.stream.sock.write_all(&[0; 1389]).expect("sent");
        let error = client.stream.read(&mut [0; 16]).expect_err("an alert");
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
    }
}
