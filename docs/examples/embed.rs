//! A server of your own: a handler, a job that blocks, a subscriber.

use loopgate::{app::Reply, config::Config, event::Event, http::Method, server::Server};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let listen = vec![address.as_deref().unwrap_or("127.0.0.1:8081").parse()?];
    let mut server = Server::bind(Config {
        listen,
        ..Config::default()
    })?;

    server.on(Method::Get, "/hello/{name}", |request, _cx| {
        Reply::json(200, &json!({ "hello": request.parameter("name") }))
    });
    server.on(Method::Get, "/sum", |_request, _cx| {
        let job = || (1..=100_000_000_u64).sum::<u64>(); // it blocks, so a worker does it
        Reply::later(job, |sum, _cx| match sum {
            Ok(sum) => Reply::json(200, &json!({ "sum": sum })),
            Err(error) => error.into(),
        })
    });
    server.subscribe("*", |event: &Event| println!("{event}"));

    println!("listening on {}", server.addresses()[0]);
    server.run()?;
    Ok(())
}
