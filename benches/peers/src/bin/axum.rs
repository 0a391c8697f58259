//! axum 0.8 on tokio's current-thread runtime, with a session check behind it.
//!
//! The router is hyper's service, without `axum::serve`: the documented way ("serve-with-hyper") for
//! who wants hyper's options, here `pipeline_flush`, and cheaper than `axum::serve`, which detects
//! the version and watches for a shutdown. mimalloc, as in `hyper`.
//!
//! `/session` takes the whole request, because the extractor `HeaderMap` would copy all headers, and
//! reads only the claim it needs; `jsonwebtoken` checks `exp` and `iss` on its own.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use humantime::format_rfc3339_seconds;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use loopgate_peers::HEALTHZ;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEY: &[u8; 32] = b"thirty-two bytes that are no key";
const ISSUER: &str = "loopgate";
const SID: &str = "dGhlIG9ubHkgc2Vzc2lvbg";
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

struct App {
    key: DecodingKey,
    validation: Validation,
    sessions: RwLock<HashMap<String, Session>>,
}

#[derive(Serialize)]
struct Session {
    user_id: String,
    username: String,
    role: String,
    issued_at: String,
    expires_at: String,
    #[serde(skip)]
    expires: SystemTime,
}

#[derive(Serialize)]
struct Claims<'c> {
    iss: &'c str,
    sub: &'c str,
    sid: &'c str,
    iat: u64,
    exp: u64,
}

/// The claim that an answer needs.
#[derive(Deserialize)]
struct SessionId {
    sid: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let issued = SystemTime::now();
    let expires = issued + LIFETIME;
    println!("sign {}", sign(issued, expires)?);

    let session = Session {
        user_id: "1".into(),
        username: "admin".into(),
        role: "admin".into(),
        issued_at: format_rfc3339_seconds(issued).to_string(),
        expires_at: format_rfc3339_seconds(expires).to_string(),
        expires,
    };
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss"]);
    validation.leeway = 0;
    let app = Arc::new(App {
        key: DecodingKey::from_secret(KEY),
        validation,
        sessions: RwLock::new(HashMap::from([(SID.into(), session)])),
    });
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/session", get(session_of_caller))
        .with_state(app);

    let listener = loopgate_peers::listen()?;
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(serve(listener, router))?;
    Ok(())
}

fn sign(issued: SystemTime, expires: SystemTime) -> Result<String, Box<dyn Error>> {
    let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH);
    let claims = Claims {
        iss: ISSUER,
        sub: "1",
        sid: SID,
        iat: seconds(issued)?.as_secs(),
        exp: seconds(expires)?.as_secs(),
    };
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("1".into());
    Ok(jsonwebtoken::encode(
        &header,
        &claims,
        &EncodingKey::from_secret(KEY),
    )?)
}

async fn serve(listener: std::net::TcpListener, router: Router) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loopgate_peers::announce(listener.local_addr()?)?;
    let mut http = http1::Builder::new();
    http.keep_alive(true).pipeline_flush(true);
    loop {
        let (socket, _) = listener.accept().await?;
        let service = TowerToHyperService::new(router.clone());
        // A connection that fails concerns its client alone.
        tokio::spawn(http.serve_connection(TokioIo::new(socket), service));
    }
}

async fn healthz() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], HEALTHZ)
}

async fn session_of_caller(State(app): State<Arc<App>>, request: Request) -> Response {
    match app.session(&request) {
        Some(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

impl App {
    /// The session of the client that sent `request`, as JSON.
    fn session(&self, request: &Request) -> Option<Vec<u8>> {
        let authorization = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
        let token = authorization.strip_prefix("Bearer ")?;
        let claims = jsonwebtoken::decode::<SessionId>(token, &self.key, &self.validation)
            .ok()?
            .claims;
        let sessions = self.sessions.read().ok()?;
        let session = sessions.get(&claims.sid)?;
        if session.expires <= SystemTime::now() {
            return None;
        }
        let mut body = serde_json::to_vec(session).ok()?;
        body.push(b'\n');
        Some(body)
    }
}
