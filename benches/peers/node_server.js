'use strict';
// Node's http module, one process.
//
// No request limit, no request or head timeout (and so no sweep of all connections every 30 s), Nagle
// off. The body is a string, because http writes head and body of a string at once but those of a
// Buffer as two. The token is checked with node:crypto, which is cheaper than a package that also
// chooses the algorithm: there is one key and one algorithm here, so the token's header is not asked.

const { createHmac, timingSafeEqual } = require('node:crypto');
const http = require('node:http');

const KEY = Buffer.from('thirty-two bytes that are no key');
const ISSUER = 'loopgate';
const SID = 'dGhlIG9ubHkgc2Vzc2lvbg';
const LIFETIME_S = 24 * 60 * 60;

const HEALTHZ = '{"status":"ok"}\n';
const HEALTHZ_HEADERS = { 'Content-Type': 'application/json', 'Content-Length': HEALTHZ.length };

const rfc3339 = (seconds) => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const hmac = (text) => createHmac('sha256', KEY).update(text).digest();

const issued = Math.floor(Date.now() / 1000);
const expires = issued + LIFETIME_S;
const sessions = new Map([
  [SID, {
    userId: '1',
    username: 'admin',
    role: 'admin',
    issuedAt: rfc3339(issued),
    expiresAt: rfc3339(expires),
    expires,
  }],
]);

function sign() {
  const header = base64url({ typ: 'JWT', alg: 'HS256', kid: '1' });
  const claims = base64url({ iss: ISSUER, sub: '1', sid: SID, iat: issued, exp: expires });
  const signed = `${header}.${claims}`;
  return `${signed}.${hmac(signed).toString('base64url')}`;
}

// The session of the client that sent `authorization`, or undefined.
function sessionOf(authorization) {
  if (!authorization?.startsWith('Bearer ')) return undefined;
  const token = authorization.slice('Bearer '.length);
  const [header, payload, signature, ...more] = token.split('.');
  if (signature === undefined || more.length > 0) return undefined;
  const expected = hmac(token.slice(0, header.length + 1 + payload.length));
  const given = Buffer.from(signature, 'base64url');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  const now = Date.now() / 1000;
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  if (claims.iss !== ISSUER || !(claims.exp > now)) return undefined;
  const session = sessions.get(claims.sid);
  return session !== undefined && session.expires > now ? session : undefined;
}

function answer(request, response) {
  if (request.method !== 'GET') {
    response.writeHead(405, { 'Content-Length': 0 }).end();
  } else if (request.url === '/healthz') {
    response.writeHead(200, HEALTHZ_HEADERS).end(HEALTHZ);
  } else if (request.url === '/session') {
    const session = sessionOf(request.headers.authorization);
    if (session === undefined) {
      response.writeHead(401, { 'Content-Length': 0 }).end();
      return;
    }
    const body = `${JSON.stringify({
      user_id: session.userId,
      username: session.username,
      role: session.role,
      issued_at: session.issuedAt,
      expires_at: session.expiresAt,
    })}\n`;
    const length = Buffer.byteLength(body);
    response
      .writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': length })
      .end(body);
  } else {
    response.writeHead(404, { 'Content-Length': 0 }).end();
  }
}

const server = http.createServer({
  keepAliveTimeout: 75_000,
  headersTimeout: 0,
  requestTimeout: 0,
  noDelay: true,
}, answer);
server.maxRequestsPerSocket = 0;
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  console.log(`sign ${sign()}`);
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
