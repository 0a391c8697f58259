//! How many streams and polls a session may have open.

/// A stream or a poll, from the request to the end.
#[derive(Clone, Copy, Debug)]
struct Place {
    session: usize,
    from: u64,
    /// The step by which it was certainly over.
    to: Option<u64>,
    /// Its client has gone, and the server may not know yet.
    abandoned: bool,
}

/// All streams and polls since the server began.
#[derive(Debug, Default)]
pub(in crate::simulation) struct Places(Vec<Place>);

impl Places {
    /// A client asks for one with that session; returns its number.
    pub(in crate::simulation) fn begin(&mut self, session: usize, step: u64) -> usize {
        self.0.push(Place {
            session,
            from: step,
            to: None,
            abandoned: false,
        });
        self.0.len() - 1
    }

    /// It is over, and its client knows.
    pub(in crate::simulation) fn end(&mut self, number: usize, step: u64) {
        if let Some(place) = self.0.get_mut(number) {
            place.to = Some(step);
        }
    }

    /// No client waits for it any more.
    pub(in crate::simulation) fn abandon(&mut self, number: usize) {
        if let Some(place) = self.0.get_mut(number) {
            place.abandoned = true;
        }
    }

    /// The server has noticed which clients are gone.
    pub(in crate::simulation) fn rest(&mut self, step: u64) {
        for place in &mut self.0 {
            if place.abandoned && place.to.is_none() {
                place.to = Some(step);
            }
        }
    }

    /// Another server begins.
    pub(in crate::simulation) fn forget(&mut self) {
        self.0.clear();
    }

    /// How many others the session may have had open at some time since that step.
    pub(in crate::simulation) fn open(
        &self,
        session: usize,
        since: u64,
        but: Option<usize>,
    ) -> usize {
        let places = self.0.iter().enumerate();
        let open = places.filter(|(at, place)| {
            let over = place.to.is_some_and(|to| to < since);
            place.session == session && !over && Some(*at) != but
        });
        open.count()
    }

    /// The step in which a place was asked for.
    pub(in crate::simulation) fn began(&self, number: usize) -> u64 {
        self.0.get(number).map_or(0, |place| place.from)
    }
}
