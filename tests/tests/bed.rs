//! The test bed itself: it joins what it says, carries real traffic, and leaves nothing behind.

use testbed::bed::Bed;

#[test]
fn smoke() {
    for _ in 0..2 {
        let start = std::time::Instant::now();
        let bed = Bed::three_zones().unwrap();
        println!("built in {:?}", start.elapsed());
        bed.warm_neighbours().unwrap();
        println!("warm in {:?}", start.elapsed());
        drop(bed);
        println!("dropped in {:?}", start.elapsed());
    }
}
