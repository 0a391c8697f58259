//! One sequence of events over all transports: nothing is missing, nothing comes twice.

use std::fs;
use std::sync::mpsc;
use std::thread;

use loopgate::config::Config;
use loopgate::event::Event;
use serde_json::{Value, json};

use crate::harness::{Client, Directory, PATIENCE, Program, TestServer, config, wait_until};
use crate::listeners::{
    CURL, Listener, PYTHON, PYTHON_WEBSOCKETS, Sse, Ws, are_installed, events_of, id_of,
    in_project, name_of, poll, publication, publish,
};

/// Events that are published in the large tests.
const MANY: u64 = 1000;

/// Publishes events called `tick` and one called `done`, half of each thousand over HTTP and half over
/// a WebSocket, at the same time.
fn publish_many(address: std::net::SocketAddr, sign: &str) {
    let over_websocket = {
        let sign = sign.to_owned();
        thread::spawn(move || {
            let mut socket = Ws::open(address, &sign, "/events?pattern=none");
            for n in 0..MANY / 2 {
                socket.say(&json!({"publish": {"name": "tick", "data": {"ws": n}}}));
            }
            for _ in 0..MANY / 2 {
                id_of(&socket.event()["published"]);
            }
        })
    };
    let mut client = Client::connect(address);
    for n in 0..MANY / 2 {
        publish(
            &mut client,
            sign,
            "tick",
            &json!({"http": n, "text": "ü \" \n"}),
        );
    }
    over_websocket.join().expect("all are published");
    publish(&mut client, sign, "done", &Value::Null);
}

/// What a listener heard, up to the event called `done`.
fn until_done(mut next: impl FnMut() -> Value) -> Vec<Value> {
    let mut heard = Vec::new();
    while heard.last().map(name_of) != Some("done") {
        heard.push(next());
    }
    heard
}

/// The same sequence, asked for as JSON.
fn polled(client: &mut Client, sign: &str, limit: usize) -> Vec<Value> {
    let mut since = 0;
    until_done({
        let mut page = Vec::new().into_iter();
        move || loop {
            if let Some(event) = page.next() {
                return event;
            }
            let query = format!("since={since}&limit={limit}&wait=20");
            let answer = poll(client, sign, &query);
            since = answer.json()["last"].as_u64().expect("where to go on");
            page = events_of(&answer).into_iter();
        }
    })
}

/// Ids that grow by one from the first event that there ever was.
fn assert_complete(events: &[Value]) {
    let ids: Vec<u64> = events.iter().map(id_of).collect();
    let all: Vec<u64> = (1..=ids.len() as u64).collect();
    assert_eq!(ids, all);
    let ticks = events.iter().filter(|event| name_of(event) == "tick");
    assert_eq!(ticks.count() as u64, MANY);
}

#[test]
fn the_same_thousand_events_arrive_over_every_transport() {
    if !are_installed(&[CURL, PYTHON, PYTHON_WEBSOCKETS]) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let told_child = directory.path().join("told");
    let script = in_project("docs/examples/subscriber.py");
    let config = Config {
        subscribe: vec![format!("exec python3 {script} >{}", told_child.display())],
        ..config()
    };
    let (sender, received) = mpsc::channel();
    let server = TestServer::with(config, |server| {
        server.subscribe("*", move |event: &Event| {
            let _ = sender.send(event.to_json());
        });
    });
    let address = server.address;
    let mut client = server.connect();
    let sign = client.log_in("admin");
    let mut curl = Sse::of(Listener::curl(address, &sign, "since=0"));
    let mut python = Listener::python(address, &sign, 0);
    let mut websocket = Ws::open(address, &sign, "/events?since=0");
    let live = {
        let sign = sign.clone();
        thread::spawn(move || polled(&mut Client::connect(address), &sign, 1000))
    };
    publish_many(address, &sign);

    let as_json = polled(&mut client, &sign, 100);
    assert_complete(&as_json);
    assert_eq!(live.join().expect("it heard all"), as_json, "JSON, waiting");
    let function = until_done(|| {
        let json = received.recv_timeout(PATIENCE).expect("the next event");
        serde_json::from_str(&json).expect("JSON")
    });
    assert_eq!(function, as_json, "a function");
    assert_eq!(until_done(|| curl.event()), as_json, "SSE");
    assert_eq!(until_done(|| websocket.event()), as_json, "WebSocket");
    assert_eq!(until_done(|| python.event()), as_json, "Python, WebSocket");
    // The example prints each event as `id name from sender: data`.
    let expected: Vec<String> = as_json
        .iter()
        .map(|event| format!("{} {} from ", event["id"], name_of(event)))
        .collect();
    let child = wait_until("the child was told of all", || {
        let text = std::fs::read_to_string(&told_child).unwrap_or_default();
        text.contains(" done from ").then_some(text)
    });
    let lines: Vec<&str> = child.lines().collect();
    assert_eq!(lines.len(), expected.len());
    for (line, expected) in lines.iter().zip(&expected) {
        assert!(line.starts_with(expected), "{line} is not {expected}");
    }
}

#[test]
fn a_client_that_changes_transports_misses_nothing_and_sees_nothing_twice() {
    let server = TestServer::start();
    let address = server.address;
    let sign = server.connect().log_in("admin");
    let publisher = {
        let sign = sign.clone();
        thread::spawn(move || publish_many(address, &sign))
    };
    // From one to the next while events come in, each time after a number of events that fits no page.
    let mut heard: Vec<Value> = Vec::new();
    let mut transports = 0;
    while heard.last().map(name_of) != Some("done") {
        let last = heard.last().map_or(0, id_of);
        let since = format!("since={last}");
        let mut next: Box<dyn FnMut() -> Vec<Value>> = match transports % 4 {
            0 => {
                let mut socket = Ws::open(address, &sign, &format!("/events?{since}"));
                Box::new(move || vec![socket.event()])
            }
            1 => {
                let mut sse = Sse::open(server.connect(), &sign, &since);
                Box::new(move || vec![sse.event()])
            }
            2 => {
                let mut client = server.connect();
                let query = format!("{since}&limit=37&wait=20");
                let mut page = Some(events_of(&poll(&mut client, &sign, &query)));
                Box::new(move || page.take().unwrap_or_default())
            }
            // As a browser comes back: the URL says where it began, the field where it is.
            _ => {
                let field = format!("Last-Event-ID: {last}\r\n");
                let (_, mut sse) = Sse::open_with(server.connect(), &sign, "since=0", &field);
                Box::new(move || vec![sse.event()])
            }
        };
        let enough = heard.len() + 71;
        while heard.len() < enough && heard.last().map(name_of) != Some("done") {
            let events = next();
            if events.is_empty() {
                break;
            }
            heard.extend(events);
        }
        transports += 1;
    }
    publisher.join().expect("all are published");
    assert!(transports >= 10);
    assert_complete(&heard);
}

#[test]
fn ids_go_on_and_nothing_confirmed_is_missing_after_kill_9() {
    let mut program = Program::start(&[]);
    let sign = program.connect().log_in("admin");
    let mut socket = Ws::open(program.address, &sign, "/events?since=0");
    let (mut heard, mut confirmed) = (Vec::new(), Vec::new());
    for round in 0..3 {
        let (sender, ids) = mpsc::channel();
        let publisher = {
            let (address, sign) = (program.address, sign.clone());
            thread::spawn(move || {
                let mut client = Client::connect(address);
                for n in 0.. {
                    let body = json!({"name": "tick", "data": {"round": round, "n": n}});
                    // What is under way when the server dies is not confirmed.
                    let Some(answer) = client.try_ask(publication(&sign, &body)) else {
                        return;
                    };
                    assert_eq!(answer.status, 202, "{answer:?}");
                    let _ = sender.send((id_of(&answer.json()), body["data"].clone()));
                }
            })
        };
        for _ in 0..50 {
            confirmed.push(ids.recv_timeout(PATIENCE).expect("it is confirmed"));
        }
        for _ in 0..20 {
            heard.push(socket.event());
        }
        let directory = program.kill();
        publisher.join().expect("it saw the end");
        confirmed.extend(ids.try_iter());
        // What was still on its way to the listener is its own to take, or to ask for again.
        if round == 1 {
            while let Ok(message) = socket.0.read() {
                heard.push(serde_json::from_str(message.to_text().unwrap()).expect("JSON"));
            }
        }
        program = Program::start_in(&directory, &[]);
        let since = id_of(heard.last().expect("it heard some"));
        socket = Ws::open(program.address, &sign, &format!("/events?since={since}"));
    }
    publish(&mut program.connect(), &sign, "done", &Value::Null);
    heard.extend(until_done(|| socket.event()));
    let ids: Vec<u64> = heard.iter().map(id_of).collect();
    let all: Vec<u64> = (1..=ids.len() as u64).collect();
    assert_eq!(ids, all, "none is missing, none came twice");
    for (id, data) in confirmed {
        assert_eq!(heard[id as usize - 1]["data"], data, "event {id}");
    }
    let starts = heard
        .iter()
        .filter(|event| name_of(event) == "server.started");
    assert_eq!(starts.count(), 4);
}

#[test]
fn a_reader_ahead_of_a_restored_backup_is_told_on_every_transport() {
    let directory = Directory::new();
    directory.add_users();
    let program = Program::start_in(&directory, &[]);
    let sign = program.connect().log_in("admin");
    publish(&mut program.connect(), &sign, "kept", &Value::Null);
    let backup = directory.path().join("backup");
    let files = ["store.db", "store.db-wal"].map(|name| directory.path().join(name));
    // The process is gone and has closed nothing, so that its files are as they were at this moment.
    program.kill();
    fs::create_dir(&backup).expect("a directory");
    for file in files.iter().filter(|file| file.exists()) {
        fs::copy(file, backup.join(file.file_name().expect("a name"))).expect("a copy");
    }
    let program = Program::start_in(&directory, &[]);
    let mut client = program.connect();
    let seen = publish(&mut client, &sign, "undone", &Value::Null);
    program.kill();
    for file in &files {
        let copy = backup.join(file.file_name().expect("a name"));
        let _ = fs::remove_file(file);
        let _ = fs::copy(copy, file);
    }

    let program = Program::start_in(&directory, &[]);
    let mut client = program.connect();
    let newest = poll(&mut client, &sign, "since=0").json()["last"].clone();
    let newest = newest.as_u64().expect("an id");
    let seen = seen + 10; // some more than the restart itself has made
    assert!(newest < seen);
    let gap = json!({"name": "gap", "data": {"from": newest + 1, "to": seen, "last": newest}});
    // At once, however long it would wait for an event.
    let query = format!("since={seen}&wait=20&pattern=tick");
    let answer = poll(&mut client, &sign, &query).json();
    assert_eq!(
        answer,
        json!({"events": [gap], "last": newest, "more": false})
    );
    let query = "pattern=tick";
    let fields = format!("Last-Event-ID: {seen}\r\n");
    let (_, mut sse) = Sse::open_with(client, &sign, query, &fields);
    let frame = sse.frame().expect("the gap");
    assert_eq!(
        frame.id,
        Some(newest.to_string()),
        "where a browser resumes"
    );
    assert_eq!(frame.event.as_deref(), Some("gap"));
    let data: Value = serde_json::from_str(&frame.data.expect("its data")).expect("JSON");
    assert_eq!(data, gap);
    let target = format!("/events?since={seen}&pattern=tick");
    let mut websocket = Ws::open(program.address, &sign, &target);
    assert_eq!(websocket.event(), gap);
    // From there on each id means the same for all of them again.
    let id = publish(&mut program.connect(), &sign, "tick", &Value::Null);
    assert_eq!(id, newest + 1);
    assert_eq!([id_of(&sse.event()), id_of(&websocket.event())], [id; 2]);
    let answer = poll(&mut program.connect(), &sign, &format!("since={newest}"));
    assert_eq!(id_of(&events_of(&answer)[0]), id);
}
