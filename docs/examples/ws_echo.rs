//! A WebSocket echo server. Run it with an address, then: `websocat ws://127.0.0.1:7008/echo`

use loopgate::config::Config;
use loopgate::server::Server;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let mut server = Server::bind(Config {
        listen: vec![address.as_deref().unwrap_or("127.0.0.1:7008").parse()?],
        ..Config::default()
    })?;
    server.websocket("/echo", |message, socket| socket.send(message));
    server.handle_signals()?;
    println!("listening on {}", server.addresses()[0]);
    server.run()?;
    Ok(())
}
