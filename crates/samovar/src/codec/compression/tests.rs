use proptest::prelude::*;

use super::*;

fn refusal(method: Compression, stored: &[u8], length: usize) -> String {
    method.decompress(stored, length).unwrap_err().to_string()
}

proptest! {
    #[test]
    fn what_is_compressed_comes_back(
        plain in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3_000),
            prop::collection::vec(0u8..3, 0..30_000),
        ],
        method in prop::sample::select(&Compression::ALL),
        level in prop::option::of(-5i32..25),
    ) {
        let stored = method.compress(&plain, level).unwrap();
        prop_assert_eq!(method.decompress(&stored, plain.len()).unwrap(), plain.clone());
        // Neither shorter nor longer than it is.
        for length in [plain.len().wrapping_sub(1), plain.len() + 1] {
            prop_assert!(method.decompress(&stored, length).is_err());
        }
    }

    #[test]
    fn whatever_is_no_compressed_value_is_an_error_at_most(
        stored in prop::collection::vec(any::<u8>(), 0..200),
        method in prop::sample::select(&Compression::ALL),
        length in 0usize..100_000,
    ) {
        if let Ok(plain) = method.decompress(&stored, length) {
            prop_assert_eq!(plain.len(), length);
        }
    }
}

/// What is worth most is still taken, and a claim above what its method can come to is not tried.
#[test]
fn a_length_is_believed_as_far_as_it_can_be_true() {
    let plain = vec![0; 16 << 20];
    for method in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let stored = method.compress(&plain, None).unwrap();
        assert!(stored.len() < plain.len() / 200, "{method}: {}", stored.len());
        assert_eq!(method.decompress(&stored, plain.len()).unwrap(), plain, "{method}");
        let beyond = stored.len() * method.most() + 1;
        assert_eq!(refusal(method, &stored, beyond), "so few bytes cannot come to so many");
    }
}

#[test]
fn gzip_that_goes_on_after_its_end_is_refused() {
    let mut stored = Compression::Gzip.compress(b"tea", None).unwrap();
    stored.push(0);
    assert_eq!(refusal(Compression::Gzip, &stored, 3), "it goes on after its end");
}

#[test]
fn it_is_kept_only_if_it_pays() {
    let policy = CompressionPolicy::by(Compression::Zstd);
    let stored = |policy: CompressionPolicy, plain: &[u8]| {
        let (method, stored) = policy.compress(plain).unwrap();
        assert_eq!(method == Compression::None, stored == plain);
        method
    };
    let even = vec![7; 1_024];
    assert_eq!(stored(policy, &even), Compression::Zstd);
    assert_eq!(stored(policy, &even[1..]), Compression::None, "below the threshold");

    // Half of it says nothing: about a half is saved.
    let mut half = even.clone();
    half.extend(noise(1_024));
    assert_eq!(stored(policy, &half), Compression::Zstd);
    let demanding = CompressionPolicy { least_saving: 0.6, ..policy };
    assert_eq!(stored(demanding, &half), Compression::None);

    let modest = CompressionPolicy { least_saving: -1.0, threshold: 0, ..policy };
    assert_eq!(stored(modest, &noise(2_048)), Compression::None, "it came out longer");
    assert_eq!(stored(modest, b""), Compression::None);
}

/// Bytes in which there is nothing to find.
fn noise(length: u64) -> Vec<u8> {
    (0..length).map(|at| xxhash_rust::xxh3::xxh3_64(&at.to_le_bytes()) as u8).collect()
}

#[test]
fn a_higher_level_is_smaller() {
    let plain: Vec<u8> =
        (0..20_000u32).flat_map(|at| (at * at % 1_009).to_string().into_bytes()).collect();
    for method in [Compression::Gzip, Compression::Zstd] {
        let levels = method.levels().unwrap();
        let least = method.compress(&plain, Some(*levels.start())).unwrap().len();
        let most = method.compress(&plain, Some(*levels.end())).unwrap().len();
        assert!(most < least, "{method}: {most} < {least}");
        assert_eq!(method.compress(&plain, Some(99)).unwrap().len(), most, "the nearest");
    }
}
