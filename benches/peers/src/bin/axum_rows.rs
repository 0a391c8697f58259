//! A small axum server with what the rows of the conformance suite ask for: `/t` says what it read, the other
//! paths say their names. hyper's own defaults, as `axum::serve` has them for HTTP/1.

use std::io;

use axum::Router;
use axum::routing::{any, get};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime;

fn main() -> io::Result<()> {
    let router = Router::new()
        .route("/t", any(|body: String| async { body }))
        .route("/next", get(|| async { "next" }))
        .route("/hidden", get(|| async { "hidden" }))
        .route("/probe", get(|| async { "probe" }));
    let listener = loopgate_peers::listen()?;
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loopgate_peers::announce(listener.local_addr()?)?;
        loop {
            let (socket, _) = listener.accept().await?;
            let service = TowerToHyperService::new(router.clone());
            let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            // A connection that fails concerns its client alone.
            tokio::spawn(connection);
        }
    })
}
