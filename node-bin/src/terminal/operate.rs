//! What operators change: `node add`, `node remove`, `node transfer`, `node succession`, `node settings`. Each waits until it is so, and then prints one line of what is so now.
//!
//! Calls are the same calls by their content: they go on at the next server when one dies, and may be made again at any time.

use super::remote::ask_once;
use crate::cli::{Add, Operator, Remove, Settings, Succession, Transfer};
use crate::operator::{Call, ask_until_done};
use crate::{secret, settings, show};
use serde_json::{Value, json};
use std::future::Future;
use std::time::Duration;
use tertulia_protocol::gateway::{Answer, Ask, Standing, Status};
use tertulia_protocol::wire::handshake::Secret;
use tokio::time::{sleep, timeout};

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(250);

pub async fn add(args: &Add) -> Result<(), String> {
    let operator = Ready::new(&args.operator).await?;
    match (args.node, args.voters) {
        (Some(node), _) => {
            let path = format!("/api/v1/cluster/members/{node}/promote");
            let answer = operator.ask("POST", &path, Value::Null).await?;
            show(&format!("node {node} votes; {}", members(&answer)));
        }
        (None, Some(count)) => {
            operator.ask("PUT", "/api/v1/cluster/voters", json!({"count": count})).await?;
            show(&operator.within(operator.voters(count)).await?);
        }
        (None, None) => return Err("say which node shall vote, or how many with --voters".into()),
    }
    Ok(())
}

pub async fn remove(args: &Remove) -> Result<(), String> {
    let operator = Ready::new(&args.operator).await?;
    let answer = operator.ask("DELETE", &format!("/api/v1/cluster/members/{}", args.node), Value::Null).await?;
    show(&format!("node {} is no member any more; {}", args.node, members(&answer)));
    Ok(())
}

pub async fn transfer(args: &Transfer) -> Result<(), String> {
    let operator = Ready::new(&args.operator).await?;
    let answer = operator.ask("POST", "/api/v1/cluster/transfer", json!({"to": args.node})).await?;
    show(&format!("node {} leads", answer["leader"].as_u64().unwrap_or(args.node)));
    Ok(())
}

pub async fn succession(args: &Succession) -> Result<(), String> {
    let operator = Ready::new(&args.operator).await?;
    operator.ask("PUT", "/api/v1/cluster/succession", json!({"policy": args.policy.to_string()})).await?;
    let order = match operator.status().await {
        Some(status) => format!("; next leaders: {}", numbers(status.succession.iter().skip(1).map(|node| node.0))),
        None => String::new(),
    };
    show(&format!("succession is {}{order}", args.policy));
    Ok(())
}

pub async fn settings(args: &Settings) -> Result<(), String> {
    let operator = Ready::new(&args.operator).await?;
    let now = operator.settings().await.ok_or("no server answers: check --server")?;
    if args.changes.is_empty() {
        settings::lines(&now).iter().for_each(|line| show(line));
        return Ok(());
    }
    let wanted = settings::changed(&now, &args.changes)?;
    operator.ask("PUT", "/api/v1/cluster/settings", json!(wanted)).await?;
    let (before, after) = (settings::lines(&now), settings::lines(&wanted));
    after.iter().filter(|line| !before.contains(line)).for_each(|line| show(line));
    Ok(())
}

/// An operator with the secret in hand and all servers that are known.
struct Ready {
    secret: Secret,
    servers: Vec<String>,
    patience: Duration,
}

impl Ready {
    async fn new(args: &Operator) -> Result<Ready, String> {
        let secret = secret::of_running(&args.secret_file)?;
        let mut ready = Ready { secret, servers: args.servers.urls.clone(), patience: args.patience };
        // Members that were not named answer as well: with the named one gone, it is they who know what became of it.
        if let Ok(Some(status)) = timeout(args.patience, ready.status()).await {
            let others = status.members.into_iter().map(|member| member.client_address);
            let new: Vec<String> = others.filter(|url| !ready.servers.contains(url)).collect();
            ready.servers.extend(new);
        }
        Ok(ready)
    }

    async fn within<T>(&self, doing: impl Future<Output = T>) -> Result<T, String> {
        let patience = humantime::format_duration(self.patience);
        timeout(self.patience, doing).await.map_err(|_| {
            format!("not done within {patience}; it may still come about: look with `node status`, or ask again with a longer --patience")
        })
    }

    /// Has it done; says meanwhile what it waits for.
    async fn ask(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        let call = Call { method, path, body: &body };
        let waits = |why: &str| eprintln!("waiting: {why}");
        self.within(ask_until_done(&self.servers, &self.secret, &call, waits)).await?
    }

    /// The cluster as the first server that answers sees it.
    async fn status(&self) -> Option<Status> {
        for url in &self.servers {
            if let Ok(reply) = ask_once(url, Ask::Cluster).await
                && let Ok(Answer::Cluster(status)) = reply.result
            {
                return Some(*status);
            }
        }
        None
    }

    /// What holds for the chat, as the first server that answers sees it.
    async fn settings(&self) -> Option<tertulia_protocol::chat::Settings> {
        for url in &self.servers {
            if let Ok(reply) = ask_once(url, Ask::Settings).await
                && let Ok(Answer::Settings(settings)) = reply.result
            {
                return Some(*settings);
            }
        }
        None
    }

    /// Waits while there are learners that will vote by themselves.
    async fn voters(&self, wanted: u16) -> String {
        let mut said = String::new();
        loop {
            if let Some(status) = self.status().await {
                let voters: Vec<u64> = with(&status, |standing| matches!(standing, Standing::Voter));
                let learners: Vec<u64> = with(&status, |standing| matches!(standing, Standing::Learner { replaces: None }));
                let (now, wanted) = (voters.len(), usize::from(wanted));
                if !status.changing && status.wanted_voters == wanted as u16 && (now >= wanted || learners.is_empty()) {
                    let voters = numbers(voters);
                    return match now {
                        _ if now < wanted => format!("{now} of {wanted} vote: {voters}; whoever joins next will vote, too"),
                        _ if now > wanted => {
                            format!("{now} vote, more than {wanted}: {voters}; nobody stops voting by itself: `node remove N`")
                        }
                        _ => format!("{now} vote: {voters}"),
                    };
                }
                let why = format!("{now} of {wanted} vote; catching up: node {}", numbers(learners));
                if why != said {
                    eprintln!("waiting: {why}");
                    said = why;
                }
            }
            sleep(LOOK).await;
        }
    }
}

fn with(status: &Status, is: impl Fn(&Standing) -> bool) -> Vec<u64> {
    status.members.iter().filter(|member| is(&member.standing)).map(|member| member.id.0).collect()
}

/// `voters 1, 2, 4; learner 5`, from an answer.
fn members(answer: &Value) -> String {
    let members = answer["members"].as_array().map_or(&[][..], |members| &members[..]);
    let ids = |voter: bool| {
        let these = members.iter().filter(|member| member["voter"] == voter);
        these.filter_map(|member| member["id"].as_u64()).collect::<Vec<_>>()
    };
    let (voters, learners) = (ids(true), ids(false));
    let rest = if learners.is_empty() { String::new() } else { format!("; learners: {}", numbers(learners)) };
    format!("voters: {}{rest}", numbers(voters))
}

fn numbers(ids: impl IntoIterator<Item = u64>) -> String {
    ids.into_iter().map(|id| id.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_are_told_in_a_line() {
        let answer = json!({"members": [{"id": 1, "voter": true}, {"id": 3, "voter": true}, {"id": 4, "voter": false}]});
        assert_eq!(members(&answer), "voters: 1, 3; learners: 4");
        assert_eq!(members(&json!({})), "voters: ");
    }
}
