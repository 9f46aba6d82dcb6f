//! The short run: all inputs that are kept, and as many mutations of them each time the same.

use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const MUTATIONS: u64 = 20_000;
/// Bytes of a mutated input.
const LONGEST: usize = 4096;

#[test]
fn filters() {
    run("filter", super::filter);
}

#[test]
fn sorts() {
    run("sort", super::sort);
}

#[test]
fn fields() {
    run("fields", super::fields);
}

#[test]
fn bodies() {
    run("body", super::body);
}

/// Tells what the input was, should the target panic.
struct Tried<'a>(&'a [u8]);

impl Drop for Tried<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input: {:?}", String::from_utf8_lossy(self.0));
        }
    }
}

fn run(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let try_out = |input: &[u8]| {
        let _tried = Tried(input);
        target(input);
    };
    corpus.iter().for_each(|input| try_out(input));
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..MUTATIONS {
        try_out(&mutated(&mut random, &corpus));
    }
}

/// One of the inputs with one to four changes.
fn mutated(random: &mut StdRng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = any(random, corpus).to_vec();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=input.len());
        let end = random.random_range(at..=input.len().min(at + 16));
        match random.random_range(0..6) {
            0 => drop(input.drain(at..end)),
            1 => input.insert(at, random.random()),
            // What is written, and not any byte.
            2 => input.insert(at, random.random_range(b' '..=b'~')),
            3 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again.repeat(random.random_range(1..4)));
            }
            4 => {
                let other = any(random, corpus);
                let from = random.random_range(0..=other.len());
                let to = random.random_range(from..=other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << random.random_range(0..8);
                }
            }
        }
    }
    input.truncate(LONGEST);
    input
}

fn any<'a>(random: &mut StdRng, corpus: &'a [Vec<u8>]) -> &'a [u8] {
    &corpus[random.random_range(0..corpus.len())]
}
