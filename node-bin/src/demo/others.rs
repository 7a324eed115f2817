//! A demo starts the nodes that it began with. Others may have joined its cluster since, and some of its own may have been removed: whoever starts it again is told.

use super::stage::Stage;
use crate::say;
use crate::terminal::ask_once;
use std::sync::Arc;
use std::time::Duration;
use tertulia_protocol::gateway::{Answer, Ask, Standing};
use tokio::time::sleep;

/// Between two questions, and how many there are: a node that starts answers within seconds.
const PAUSE: Duration = Duration::from_millis(500);
const QUESTIONS: usize = 60;

/// Asks the demo's nodes who the members are, and says what differs from what the demo starts.
pub async fn tell_of_others(stage: Arc<Stage>) {
    for _ in 0..QUESTIONS {
        sleep(PAUSE).await;
        for node in stage.plan.nodes() {
            if let Ok(Ok(Answer::Cluster(status))) = ask_once(&stage.plan.url(node), Ask::Cluster).await.map(|reply| reply.result)
                && !status.members.is_empty()
            {
                let own: Vec<u64> = stage.plan.nodes().map(u64::from).collect();
                let members: Vec<(u64, bool)> =
                    status.members.iter().map(|member| (member.id.0, member.standing == Standing::Voter)).collect();
                for line in in_words(&members, &own) {
                    say(&line);
                }
                return;
            }
        }
    }
}

/// `members`: each one's number, and whether it votes.
fn in_words(members: &[(u64, bool)], own: &[u64]) -> Vec<String> {
    let list = |ids: Vec<u64>| ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let mut lines = Vec::new();
    let others: Vec<u64> = members.iter().map(|(id, _)| *id).filter(|id| !own.contains(id)).collect();
    if !others.is_empty() {
        let voters = members.iter().filter(|(_, votes)| *votes).count();
        let started = members.iter().filter(|(id, votes)| *votes && own.contains(id)).count();
        let needed = if started * 2 > voters { "" } else { ", and without them there is no majority" };
        let how = "node serve --data DIR --secret-file FILE starts each again";
        lines.push(format!("this cluster has members that the demo does not start ({}){needed}: {how}", list(others)));
    }
    let gone: Vec<u64> = own.iter().copied().filter(|id| !members.iter().any(|(member, _)| member == id)).collect();
    if !gone.is_empty() {
        lines.push(format!("no members any more, so their processes end: {}", list(gone)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_others_start_are_named_and_whether_they_are_needed() {
        let voters = |ids: &[u64]| ids.iter().map(|id| (*id, true)).collect::<Vec<_>>();
        assert!(in_words(&voters(&[1, 2, 3]), &[1, 2, 3]).is_empty());
        let lines = in_words(&voters(&[1, 3, 4, 6]), &[1, 2, 3]);
        assert!(lines[0].contains("(4, 6), and without them there is no majority"), "{lines:?}");
        assert!(lines[1].ends_with(": 2"), "{lines:?}");
        let with_learner = in_words(&[(1, true), (2, true), (3, true), (4, false)], &[1, 2, 3]);
        assert!(with_learner.len() == 1 && !with_learner[0].contains("majority"), "{with_learner:?}");
    }
}
