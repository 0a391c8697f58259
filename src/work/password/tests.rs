use super::*;

const SALT: [u8; 16] = *b"0123456789abcdef";
const LOW: HashCost = HashCost::TOKEN;
const HIGH: HashCost = HashCost {
    memory_kib: 64,
    passes: 2,
    lanes: 1,
};

#[test]
fn a_hash_is_the_phc_string_that_other_tools_make() {
    let cost = HashCost {
        memory_kib: 256,
        passes: 2,
        lanes: 1,
    };
    let made = hash(b"password", SALT, cost);
    assert!(made.starts_with("$argon2id$v=19$m=256,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"));
    // A test vector of the reference implementation (test.c, Argon2id, version 19).
    let vector =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    assert_eq!(verify(b"password", vector, &[], cost), Verdict::Right);
}

#[test]
fn verdicts() {
    let (low, high) = (hash(b"secret", SALT, LOW), hash(b"secret", SALT, HIGH));
    for (password, phc, cost, verdict) in [
        ("secret", &low, LOW, Verdict::Right),
        ("secret", &high, HIGH, Verdict::Right),
        ("secret", &high, LOW, Verdict::Right),
        ("secret", &low, HIGH, Verdict::RightButWeak),
        ("Secret", &low, LOW, Verdict::Wrong),
        ("Secret", &low, HIGH, Verdict::Wrong),
        ("", &high, HIGH, Verdict::Wrong),
    ] {
        assert_eq!(
            verify(password.as_bytes(), phc, &[], cost),
            verdict,
            "{phc}"
        );
    }
}

#[test]
fn an_older_kind_of_argon2_is_right_but_weak() {
    let params = Params::new(64, 2, 1, Some(DIGEST_BYTES)).unwrap();
    let mut digest = [0; DIGEST_BYTES];
    Argon2::new(Algorithm::Argon2i, Version::V0x13, params)
        .hash_password_into(b"secret", &SALT, &mut digest)
        .unwrap();
    let older = phc(HIGH, SALT, digest).replace("argon2id", "argon2i");
    assert_eq!(verify(b"secret", &older, &[], HIGH), Verdict::RightButWeak);
}

#[test]
fn a_decoy_costs_what_a_real_hash_costs_and_matches_nothing() {
    for cost in [LOW, HIGH] {
        let (decoy, real) = (decoy(cost), hash(b"secret", SALT, cost));
        let (decoyed, stored) = (
            Stored::parse(&decoy).unwrap(),
            Stored::parse(&real).unwrap(),
        );
        assert_eq!(decoyed.params, stored.params);
        assert_eq!(decoyed.salt.len(), stored.salt.len());
        assert_eq!(decoyed.digest.len(), stored.digest.len());
        assert!(!decoyed.is_weaker_than(cost));
        for password in ["", "secret", "loopgate's decoy"] {
            assert_eq!(
                verify(password.as_bytes(), &decoy, &[], cost),
                Verdict::Wrong
            );
        }
    }
}

#[test]
fn a_hash_that_cannot_be_used_is_wrong_and_not_imported() {
    let digest = "MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
    for unusable in [
        String::new(),
        "secret".into(),
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW".into(),
        "$argon2id$v=19$m=64,t=1,p=1".into(),
        format!("$argon2id$v=18$m=64,t=1,p=1${digest}"),
        format!("$argon2id$v=19$m=7,t=1,p=1${digest}"),
        format!("$argon2id$v=19$m=64,t=0,p=1${digest}"),
        format!("$argon2id$v=19$m=4294967295,t=1,p=1${digest}"),
        format!("$argon2id$v=19$m=1048577,t=1,p=1${digest}"),
        format!("$argon2id$v=19$m=1048576,t=5,p=1${digest}"),
        format!("$argon2id$v=19$m=64,t=4294967295,p=1${digest}"),
        format!("$argon2id$v=19$m=1024,t=1,p=65${digest}"),
    ] {
        assert_eq!(verify(b"secret", &unusable, &[], LOW), Verdict::Wrong);
        assert!(
            check_phc(&unusable, &mut Kinds::default()).is_err(),
            "{unusable:?} was accepted"
        );
    }
    assert_eq!(
        check_phc(
            &hash(b"secret", SALT, HashCost::TOKEN),
            &mut Kinds::default()
        ),
        Ok(())
    );
    assert_eq!(
        check_phc(&decoy(HashCost::DEFAULT), &mut Kinds::default()),
        Ok(())
    );
}

#[test]
fn a_cost_above_the_limits_is_fine_when_it_is_our_own() {
    let lanes = HashCost {
        memory_kib: 8 * (LANES_MAX + 1),
        passes: 1,
        lanes: LANES_MAX + 1,
    };
    let phc = hash(b"secret", SALT, lanes);
    assert_eq!(verify(b"secret", &phc, &[], lanes), Verdict::Right);
    assert_eq!(verify(b"secret", &phc, &[], LOW), Verdict::Wrong);
}

#[test]
fn a_thread_keeps_the_memory_of_one_hash_until_it_is_released() {
    let capacity = || MEMORY.with_borrow(Vec::capacity);
    for _ in 0..3 {
        let _ = hash(b"password", SALT, HashCost::DEFAULT);
        assert!(keeps_memory());
        // More than glibc ever keeps, and it must not grow with each hash.
        assert!(
            (32 * 1024 + 1..40 * 1024).contains(&capacity()),
            "{}",
            capacity()
        );
    }
    release_memory();
    assert_eq!(capacity(), 0);
}

/// PHC strings of other kinds, as Spring, argon2-cffi, PHP and libsodium make them.
fn imported(m: u32, t: u32, p: u32) -> String {
    format!(
        "$argon2id$v=19$m={m},t={t},p={p}$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
    )
}

fn kinds(hashes: &[&str]) -> Kinds {
    let mut kinds = Kinds::default();
    for phc in hashes {
        kinds.add(phc);
    }
    kinds
}

#[test]
fn a_failed_login_is_the_same_work_in_the_same_order_for_every_stored_hash() {
    let (cost, own) = (HashCost::DEFAULT, hash(b"x", SALT, HashCost::DEFAULT));
    let (weak, strong) = (imported(7168, 1, 1), imported(65536, 3, 4));
    let older = weak.replace("argon2id$v=19", "argon2i$v=16");
    let stored = [&*own, &weak, &strong, &older, "damaged", "$2b$12$damaged"];
    let imitated = kinds(&stored).imitated();
    assert_eq!(imitated.len(), 4);
    let unknown = decoy(cost);
    let steps_of = |phc: &str| {
        let own = Stored::parse(phc).map_or(Kind::at(cost), |stored| stored.kind());
        steps(&imitated, own, cost)
    };
    for phc in stored {
        assert_eq!(steps_of(phc), steps_of(&unknown), "{phc}");
    }
    // The cheapest first: few have to wait for an expensive one.
    let steps = steps_of(&unknown);
    assert_eq!(steps.len(), 4);
    assert_eq!(steps.last(), Some(&Stored::parse(&strong).unwrap().kind()));
    // If all are alike, it is one hash.
    assert_eq!(
        super::steps(&kinds(&[&own]).imitated(), Kind::at(cost), cost).len(),
        1
    );
    assert_eq!(super::steps(&[], Kind::at(cost), cost).len(), 1);
}

#[test]
fn a_right_password_is_found_among_other_kinds() {
    let (low, high) = (hash(b"secret", SALT, LOW), hash(b"secret", SALT, HIGH));
    let kinds = kinds(&[&low, &high, &imported(16, 1, 1)]).imitated();
    for (password, phc, verdict) in [
        ("secret", &low, Verdict::RightButWeak),
        ("secret", &high, Verdict::Right),
        ("Secret", &low, Verdict::Wrong),
        ("Secret", &high, Verdict::Wrong),
        ("secret", &decoy(HIGH), Verdict::Wrong),
        ("secret", &"damaged".to_owned(), Verdict::Wrong),
    ] {
        assert_eq!(
            verify(password.as_bytes(), phc, &kinds, HIGH),
            verdict,
            "{phc}"
        );
    }
}

#[test]
fn a_kind_is_imitated_as_long_as_a_user_has_it() {
    let (weak, strong) = (imported(7168, 1, 1), imported(65536, 3, 4));
    let other_salt = weak.replace("$MDEy", "$MDEx");
    let mut kinds = kinds(&[&weak, &other_salt, &strong]);
    assert_eq!(kinds.imitated().len(), 2);
    kinds.remove(&weak);
    assert_eq!(kinds.imitated().len(), 2);
    kinds.remove(&other_salt);
    assert_eq!(kinds.imitated().len(), 1);
    kinds.remove(&other_salt); // removed once too often
    kinds.remove(&strong);
    assert!(kinds.imitated().is_empty());
}

#[test]
fn all_kinds_together_have_a_bound_and_what_is_beyond_is_counted_and_not_imported() {
    let (php, django) = (imported(65536, 4, 1), imported(102_400, 2, 8));
    let (moderate, sensitive) = (imported(262_144, 3, 1), imported(1_048_576, 4, 1));
    let mut imported_so_far = Kinds::default();
    for (phc, fine) in [
        (&php, true),
        (&django, true),
        (&php, true),
        (&imported(65536, 3, 4), false), // 192 MiB beside 456
        (&moderate, false),
        (&sensitive, false),
        (&imported(1024, 1, 65), false),
    ] {
        // A refused hash is not stored.
        let mut tried = kinds(&[&php, &django]);
        assert_eq!(check_phc(phc, &mut tried).is_ok(), fine, "{phc}");
        if fine {
            imported_so_far.add(phc);
        }
    }
    assert_eq!(imported_so_far.beyond(), 0);
    // An older version accepted them.
    let kinds = kinds(&[&php, &moderate, &moderate, &sensitive]);
    assert_eq!((kinds.imitated().len(), kinds.beyond()), (1, 3));
}
