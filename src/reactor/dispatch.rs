//! Calling sources: what happens around each call, the same in every phase.

use super::clock::Moment;
use super::mailbox::Mail;
use super::next::Next;
use super::slots::Token;
use super::source::{Program, Source};
use super::turn::{Recorder, Turn};
use super::{Again, Reactor};
use crate::ledger::{Label, Phase, SLOW_NS};

impl<P: Program> Reactor<P> {
    /// Calls a source, records the call, and carries out what it wants next.
    pub(super) fn dispatch(
        &mut self,
        token: Token,
        phase: Phase,
        call: impl FnOnce(&mut dyn Source<P>, &mut P, &mut Turn<'_, P::Message>) -> Next,
    ) {
        let Some((recorder, next)) = self.call(token, phase, call) else {
            return;
        };
        self.core.time();
        recorder.finish(next, self.core.now, &mut self.core.ledger);
        self.insert_newcomers();
    }

    /// Calls a source, and queues what it asks for; `None` if it has ended.
    pub(super) fn call(
        &mut self,
        token: Token,
        phase: Phase,
        call: impl FnOnce(&mut dyn Source<P>, &mut P, &mut Turn<'_, P::Message>) -> Next,
    ) -> Option<(Recorder, Next)> {
        // A stale token is not an error: its source ended while readiness for it was under way.
        let entry = self.sources.get_mut(token).filter(|entry| !entry.ended)?;
        let mut turn = Turn::new(&mut self.core, token, phase, entry.kind);
        turn.arming = entry.arming;
        let next = call(&mut *entry.source, &mut self.program, &mut turn);
        let Turn {
            arming,
            flush,
            newcomers,
            recorder,
            ..
        } = turn;
        if newcomers {
            self.newcomers.append(&mut entry.source.newcomers());
        }
        entry.arming = arming;
        self.core.timers.arm(token, &mut entry.arming);
        if flush && !std::mem::replace(&mut entry.flush, true) {
            self.core.flush.push(token);
        }
        match next {
            Next::Wait => {}
            Next::Again => self.queue_again(token),
            Next::Close(reason) => {
                entry.ended = true;
                self.core.ended.push((token, reason));
            }
        }
        Some((recorder, next))
    }

    /// Merges several reports of one source, at the place of the first: the source is called once in a turn, and has
    /// its budget once.
    pub(super) fn join_reports(&mut self) {
        let mut kept = 0;
        for at in 0..self.ready.len() {
            let report = self.ready[at];
            // A stale token is not an error, and is not dispatched.
            if let Some(entry) = self.sources.get_mut(report.token) {
                let first = usize::from(entry.report);
                if first < kept && self.ready[first].token == report.token {
                    let joined = self.ready[first].readiness.and(report.readiness);
                    self.ready[first].readiness = joined;
                    continue;
                }
                entry.report = u16::try_from(kept).unwrap_or(u16::MAX);
            }
            self.ready[kept] = report;
            kept += 1;
        }
        self.ready.truncate(kept);
    }

    /// Calls the program itself and records the call under that name.
    pub(super) fn dispatch_program(
        &mut self,
        kind: Label,
        phase: Phase,
        call: impl FnOnce(&mut P, &mut Turn<'_, P::Message>),
    ) {
        let mut turn = Turn::new(&mut self.core, Token::PROGRAM, phase, kind);
        call(&mut self.program, &mut turn);
        let recorder = turn.recorder;
        self.core.time();
        recorder.finish(Next::Wait, self.core.now, &mut self.core.ledger);
    }

    /// Reads the clock once for all flushes of a turn, since each is too short to be timed. If all
    /// together held up the loop, that is recorded.
    pub(super) fn record_flushes(&mut self, began: Moment) {
        self.core.time();
        if self.core.now.ns_since(began) > SLOW_NS {
            let recorder = Recorder {
                token: Token::PROGRAM,
                phase: Phase::Flush,
                kind: self.core.kinds.flush,
                label: Label::NONE,
                began,
            };
            recorder.finish(Next::Wait, self.core.now, &mut self.core.ledger);
        }
    }

    #[inline]
    pub(super) fn deliver_mail(&mut self, phase: Phase) -> usize {
        if self.core.mailbox.is_empty() {
            return 0;
        }
        self.deliver_each(phase)
    }

    fn deliver_each(&mut self, phase: Phase) -> usize {
        let (mut mail, mut count) = (self.core.mailbox.take(), 0);
        for mail in mail.drain(..) {
            match mail {
                Mail::To(token, message) => {
                    count += 1;
                    self.dispatch(token, phase, |source, program, turn| {
                        source.message(message, program, turn)
                    });
                }
                Mail::All(message) => {
                    let everyone: Vec<Token> = self.sources.tokens().collect();
                    count += everyone.len();
                    for token in everyone {
                        self.dispatch(token, phase, |source, program, turn| {
                            source.message(message(), program, turn)
                        });
                    }
                }
            }
        }
        self.core.mailbox.give_back(mail);
        count
    }

    #[inline]
    pub(super) fn insert_newcomers(&mut self) {
        if !self.newcomers.is_empty() {
            self.insert_each_newcomer();
        }
    }

    #[cold]
    fn insert_each_newcomer(&mut self) {
        while let Some(newcomer) = self.newcomers.pop() {
            if let Err(error) = self.add(newcomer) {
                log::warn!("a new source was dropped, the system has no room for it: {error}");
            }
        }
    }

    pub(super) fn queue_again(&mut self, token: Token) {
        if let Some(entry) = self.sources.get_mut(token)
            && std::mem::replace(&mut entry.again, Again::Queued) != Again::Queued
        {
            self.core.again.push_back(token);
        }
    }

    pub(super) fn end_phase(&mut self, phase: Phase, began: Moment, count: usize) {
        let core = &mut self.core;
        if count > 0 || core.now != began {
            let duration_ns = core.now.ns_since(began);
            core.ledger.end_phase(phase, duration_ns, count);
        }
    }
}
