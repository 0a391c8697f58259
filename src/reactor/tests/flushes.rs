//! How much a turn flushes because other sources asked for it.

use super::*;

/// Says which subscriber it is when it is flushed, which takes some time.
struct Subscriber {
    number: usize,
    takes: Duration,
    clock: FakeClock,
}

impl Source<Told> for Subscriber {
    fn kind(&self) -> Kind {
        Kind::of("subscriber")
    }

    fn ready(&mut self, _: Readiness, _: &mut Told, _: &mut Turn<'_, &'static str>) -> Next {
        Next::Wait
    }

    fn flush(&mut self, program: &mut Told, _: &mut Turn<'_, &'static str>) -> Next {
        self.clock.advance(self.takes);
        program.tell(self.number.to_string());
        Next::Wait
    }
}

#[test]
fn a_burst_to_many_is_flushed_in_order_and_in_parts_between_which_others_are_served() {
    const SUBSCRIBERS: usize = 3000;
    for (takes, of_turn) in [
        (Duration::ZERO, FLUSHES_PER_TURN),
        // The clock is read after every sixteenth, and the first reading that is late ends the phase.
        (Duration::from_micros(1), 1008),
        (Duration::from_micros(10), 112),
        // Some are flushed even if the first takes all the time there is.
        (Duration::from_secs(1), FLUSHES_PER_READING),
    ] {
        let mut world = world();
        for number in 0..SUBSCRIBERS {
            let clock = world.clock.clone();
            let subscriber = Subscriber {
                number,
                takes,
                clock,
            };
            let token = world.reactor.add(Box::new(subscriber)).unwrap();
            world.reactor.program.subscribers.push(token);
        }
        let (_, asking) = world.teller("asking");
        world.settle();
        world.reactor.completer().complete("news");
        let mut flushed = 0;
        while flushed < SUBSCRIBERS {
            asking.send(b"?");
            let story = world.turn();
            assert_eq!(story[0], "asking reads ?", "in the turn in which it asks");
            let before = flushed;
            for number in story.iter().filter_map(|line| line.parse::<usize>().ok()) {
                assert_eq!(number, flushed, "in the order in which they were asked for");
                flushed += 1;
            }
            let rest = SUBSCRIBERS - before;
            assert_eq!(flushed - before, of_turn.min(rest), "{takes:?} each");
            let answer = story.iter().position(|line| line == "asking flushes");
            assert!(answer < story.iter().position(|line| *line == before.to_string()));
        }
    }
}
