//! Child processes of a server: those that the configuration names, and orphans that no other process reaps.

use std::io;

use super::Server;
use crate::net::{Child, Message, Role, Service};
use crate::reactor::{Signal, SignalSource, Turn};

impl Server {
    /// Adds the processes that the configuration names; they are started in the first turn.
    pub(super) fn add_children(&mut self) -> io::Result<()> {
        let config = &self.reactor.program.app.config;
        let children: Vec<Child> = [
            (Role::Subscriber, &config.subscribe),
            (Role::Producer, &config.produce),
        ]
        .into_iter()
        .flat_map(|(role, commands)| {
            commands
                .iter()
                .map(move |command| Child::new(role, command))
        })
        .collect();
        if children.is_empty() {
            return Ok(());
        }
        self.hear_of_children()?;
        self.reactor.program.children.expect(children.len());
        for child in children {
            self.reactor.add(Box::new(child))?;
        }
        Ok(())
    }

    /// Reaps orphaned processes, as process 1 of a container must, since no other process does. The caller must not
    /// have child processes of its own then.
    ///
    /// # Errors
    /// When the system gives no descriptors.
    pub fn reap_orphans(&mut self) -> io::Result<()> {
        self.hear_of_children()?;
        self.reactor.program.children.reap_all();
        Ok(())
    }

    fn hear_of_children(&mut self) -> io::Result<()> {
        let act = |service: &mut Service, turn: &mut Turn<'_, Message>| {
            service.children.one_has_ended(turn);
        };
        let source = SignalSource::new(Signal::Child.stream()?, act);
        self.reactor.add(Box::new(source)).map(drop)
    }
}
