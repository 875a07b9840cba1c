//! Inference batches: rows of like length together, cut by padded tokens.

/// Which rows may share a batch, so that no row's score depends on the rows beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Any: the shorter ones are padded.
    Padded,
    /// Those of the same length.
    SameLength,
    /// None.
    None,
}

/// How small a batch may get for the sake of giving every thread one.
const WORTH_A_BATCH: usize = 64;

/// Splits rows of the given lengths into batches of row numbers, of at most `most` tokens, padding included.
///
/// Sorting by length leaves almost nothing to pad; the longest come first, so that no thread starts on a long batch
/// when the others are done. Every thread gets as many batches as another: whoever is done first only waits.
pub(super) fn plan(lengths: &[usize], sharing: Sharing, most: usize, threads: usize) -> Vec<Vec<usize>> {
    let mut rows: Vec<_> = lengths.iter().copied().enumerate().collect();
    rows.sort_by_key(|&(_, length)| std::cmp::Reverse(length));
    let wanted = cut(&rows, sharing, most).len().next_multiple_of(threads.max(1));
    let tokens = lengths.iter().sum::<usize>();
    let mut budget = tokens.div_ceil(wanted.max(1)).clamp(WORTH_A_BATCH, most);
    loop {
        let batches = cut(&rows, sharing, budget);
        if batches.len() <= wanted || budget == most {
            return batches;
        }
        // What has to be padded, and what does not fit exactly, takes a little more.
        budget = (budget + budget.div_ceil(64)).min(most);
    }
}

/// Cuts rows that are sorted by length wherever the next would exceed the budget.
fn cut(rows: &[(usize, usize)], sharing: Sharing, budget: usize) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut longest = 0;
    for &(row, length) in rows {
        let may_share = match sharing {
            Sharing::Padded => true,
            Sharing::SameLength => length == longest,
            Sharing::None => false,
        };
        match batches.last_mut() {
            Some(batch) if may_share && (batch.len() + 1) * longest <= budget => batch.push(row),
            _ => {
                longest = length.max(1);
                batches.push(vec![row]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 512;

    #[test]
    fn every_row_is_in_one_batch() {
        let lengths: Vec<_> = (0..1000).map(|row| (row * 37) % 200 + 1).collect();
        let mut rows: Vec<_> = plan(&lengths, Sharing::Padded, MOST, 2).into_iter().flatten().collect();
        rows.sort_unstable();
        assert_eq!(rows, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_is_bounded_by_its_padded_tokens() {
        let lengths: Vec<_> = (0..1000).map(|row| (row * 37) % 700 + 1).collect();
        for batch in plan(&lengths, Sharing::Padded, MOST, 2) {
            let longest = batch.iter().map(|&row| lengths[row]).max().unwrap_or(0);
            assert!(batch.len() == 1 || batch.len() * longest <= MOST);
        }
    }

    #[test]
    fn rows_of_like_length_share_a_batch() {
        assert_eq!(plan(&[10, 300, 11, 300], Sharing::Padded, MOST, 1), [vec![1], vec![3], vec![2, 0]]);
    }

    #[test]
    fn few_rows_are_spread_over_the_threads() {
        assert_eq!(plan(&[20; 16], Sharing::Padded, MOST, 1).len(), 1);
        assert_eq!(plan(&[20; 16], Sharing::Padded, MOST, 2).len(), 2);
        assert_eq!(plan(&[20; 3], Sharing::Padded, MOST, 16).len(), 1);
    }

    #[test]
    fn every_thread_gets_as_many_batches() {
        let lengths: Vec<_> = (0..256).map(|row| (row * 37) % 60 + 8).collect();
        for threads in [1, 2, 4] {
            assert_eq!(plan(&lengths, Sharing::Padded, MOST, threads).len() % threads, 0);
        }
    }

    #[test]
    fn rows_that_cannot_be_padded_share_with_their_like() {
        assert_eq!(plan(&[5, 7, 5, 7], Sharing::SameLength, MOST, 1), [vec![1, 3], vec![0, 2]]);
    }

    #[test]
    fn rows_that_may_not_share_get_a_batch_each() {
        assert_eq!(plan(&[5, 5, 5], Sharing::None, MOST, 1).len(), 3);
    }
}
