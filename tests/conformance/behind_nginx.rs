//! Every row through a real nginx in front of loopgate, over kept connections between the two: both
//! understand the same requests, as many, and in the same order. Then nothing can be hidden in one of them
//! that the other takes for a request.

use crate::network::{Loopgate, send_at_once};
use crate::nginx::{Nginx, is_installed};
use crate::rows;

#[test]
fn nginx_and_loopgate_understand_the_same_requests() {
    if !is_installed() {
        return;
    }
    let loopgate = Loopgate::start();
    // One connection to loopgate: bytes that one row left there would be read before those of the next.
    let nginx = Nginx::start(&format!(
        "upstream behind {{ server {}; keepalive 1; }}\n\
         server {{\n\
         listen 127.0.0.1:@PORT@;\n\
         location / {{\n\
         proxy_pass http://behind;\n\
         proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\";\n\
         proxy_set_header Host $http_host;\n\
         }}\n}}",
        loopgate.address
    ))
    .expect("it starts");
    let mut answered = 0;
    for row in &rows::all() {
        let seen = send_at_once(row, nginx.address);
        answered += seen
            .answers
            .iter()
            .filter(|answer| answer.is_final())
            .count();
    }
    // Only requests that reached a handler: nginx was told of all others.
    let paths = ["/t", "/next", "/hidden", "/probe"];
    let log = nginx.stop();
    let understood: Vec<&str> = log
        .iter()
        .filter_map(|line| line.strip_suffix(" 200"))
        .filter(|line| paths.iter().any(|path| line.ends_with(&format!(" {path}"))))
        .collect();
    let handled = loopgate.stop();
    assert!(
        handled.len() > 300,
        "only {} requests came through",
        handled.len()
    );
    assert_eq!(handled, understood, "the same requests, in the same order");
    let forwarded = log.iter().filter(|line| !line.ends_with(" -")).count();
    assert!(
        answered >= forwarded,
        "{answered} answers to {forwarded} requests"
    );
}
