//! How a request presents its session: correctly, by the cookie on a page of another site, or in an
//! ambiguous way.

use super::world::World;

/// What the request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It reads something.
    Reads,
    /// It follows events: it reads, and takes a place for as long as that lasts.
    Follows,
    /// It changes something, or opens a WebSocket.
    Changes,
}

/// Header fields that present a session, and the expected result.
#[derive(Debug)]
pub(super) struct Presented {
    pub(super) fields: String,
    /// The expected refusal: the status, and whether the session is checked even so.
    pub(super) refused: Option<(u16, bool)>,
}

/// Fields of a page of this site.
const OWN: [&str; 5] = [
    "Origin: null\r\nSec-Fetch-Site: same-origin\r\n",
    "Sec-Fetch-Site: same-origin\r\n",
    "Sec-Fetch-Site: none\r\n",
    "Origin: http://h\r\n",
    "Origin: http://H:80\r\nSec-Fetch-Site: same-origin\r\n",
];

/// Fields of other sites' pages, or of no page.
const FOREIGN: [&str; 10] = [
    "Origin: null\r\nSec-Fetch-Site: none\r\n",
    "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: same-origin\r\n",
    "",
    "Sec-Fetch-Site: cross-site\r\n",
    "Sec-Fetch-Site: same-site\r\n",
    "Origin: http://h.example\r\n",
    "Origin: http://h:8080\r\n",
    "Origin: null\r\n",
    "Origin: http://h\r\nSec-Fetch-Site: same-site\r\n",
    "Origin: http://x\r\nSec-Fetch-Site: same-origin\r\n",
];

impl World {
    /// Presents that session in some way.
    pub(super) fn present(&mut self, session: usize, purpose: Purpose) -> Presented {
        let sign = self.sessions[session].sign.clone();
        let other = self.chance.below(self.sessions.len());
        let other = self.sessions[other].sign.clone();
        let bearer = format!("Authorization: Bearer {sign}\r\n");
        let cookie = format!("Cookie: session={sign}\r\n");
        let well = |fields: String| Presented {
            fields,
            refused: None,
        };
        let unclear = |fields: String| Presented {
            fields,
            refused: Some((401, false)),
        };
        let own = *self.chance.pick(&OWN).unwrap_or(&"");
        let way = self.chance.below(36);
        match way {
            0 => well(format!("{bearer}Cookie: session={other}\r\n")),
            1 => well(format!(
                "authorization: bearer  {sign}\r\nOrigin: http://x\r\n"
            )),
            2 => well(format!("Authorization: Basic eDp4\r\n{cookie}{own}")),
            3 => well(format!(
                "Cookie: a=1; session={sign}; xsession=b\r\nCookie: c=d\r\n{own}"
            )),
            4 | 5 => {
                let foreign = *self.chance.pick(&FOREIGN).unwrap_or(&"");
                // A request that reads is answered, since the page cannot read the answer; one that follows events is
                // answered unless a page sent it.
                let refused = match purpose {
                    Purpose::Reads => false,
                    Purpose::Follows => !foreign.is_empty(),
                    Purpose::Changes => true,
                };
                Presented {
                    fields: format!("{cookie}{foreign}"),
                    refused: refused.then_some((403, true)),
                }
            }
            6 if other != sign => {
                unclear(format!("Cookie: session={sign}; session={other}\r\n{own}"))
            }
            7 => match self.chance.below(4) {
                0 => unclear(format!("{bearer}Authorization: Basic eDp4\r\n")),
                1 => unclear(format!("Authorization: Bearer {sign} x\r\n{cookie}{own}")),
                2 => unclear(format!("Cookie: session={sign}.\r\n{own}")),
                _ => {
                    let last = if sign.ends_with('A') { 'B' } else { 'A' };
                    let shorter = &sign[..sign.len() - 1];
                    unclear(format!("Authorization: Bearer {shorter}{last}\r\n"))
                }
            },
            8..14 => well(format!("{cookie}{own}")),
            14..20 if self.habits.cookies => well(format!("{cookie}{own}")),
            _ => well(bearer),
        }
    }
}
