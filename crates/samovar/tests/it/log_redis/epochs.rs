//! Epochs are named, not numbered: no name comes twice, whatever the server has forgotten.

use samovar_core::{Epoch, Judge};

use super::*;

/// reused_epochs, a history of the executable model (`histories` lists them all): the server goes back twice to data
/// in which the second epoch is not known yet, so that by counting it would begin the same twice.
#[test]
fn reused_epochs() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let values = Server::launch(&Setup::new()).unwrap();
    let redis = alone(&server);
    let sharing = || Settings { redis: Some(alone(&values)), ..Settings::default() };
    found(&redis);
    let older = server.snapshot().unwrap();
    let goes_back = || {
        server.kill().unwrap();
        server.start_from(&older).unwrap();
    };
    let first = block_on(open(&redis, HASTY).snapshot()).unwrap().head.epoch;

    goes_back();
    let lost = Node::with(&redis, sharing());
    let on_lost = lost.mark("other").unwrap();
    // Read after that mark: the frame has its version.
    lost.put("k");
    block_on(lost.samovar.close()).unwrap();

    goes_back();
    let node = Node::with(&redis, sharing());
    let now = node.mark("k").unwrap();
    assert_eq!((now.seq, on_lost.seq), (1, 1));
    let names: [Epoch; 3] = [first, on_lost.epoch, now.epoch];
    assert!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2], "{names:?}");
    assert!(!Judge::holds(node.samovar.fence(), on_lost));
    assert_eq!(found_in(&node, "k"), None, "what was read on the lost branch");
    // What is read now is everybody's.
    node.put("k");
    block_on(node.samovar.flush()).unwrap();
    let other = Node::with(&redis, sharing());
    assert_eq!(found_in(&other, "k"), Some(TierName::Redis));
}
