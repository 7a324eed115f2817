//! The routes of the API, and which there are: axum's router does not tell, and the description of the API is held to it.

use super::App;
use axum::Router;
use axum::routing::MethodRouter;

/// As [`Router`], and knows its paths.
pub struct Routes<G> {
    router: Router<App<G>>,
    #[cfg_attr(not(test), allow(dead_code, reason = "tests ask which paths there are"))]
    paths: Vec<String>,
}

impl<G: Clone + Send + Sync + 'static> Routes<G> {
    pub fn new() -> Routes<G> {
        Routes { router: Router::new(), paths: Vec::new() }
    }

    pub fn route(mut self, path: &str, methods: MethodRouter<App<G>>) -> Routes<G> {
        self.paths.push(path.into());
        Routes { router: self.router.route(path, methods), ..self }
    }

    pub fn merge(mut self, other: Routes<G>) -> Routes<G> {
        self.paths.extend(other.paths);
        Routes { router: self.router.merge(other.router), ..self }
    }

    /// Something that holds for all of these routes.
    pub fn map(self, change: impl FnOnce(Router<App<G>>) -> Router<App<G>>) -> Routes<G> {
        Routes { router: change(self.router), ..self }
    }

    pub fn into_router(self) -> Router<App<G>> {
        self.router
    }

    #[cfg(test)]
    pub fn paths(&self) -> &[String] {
        &self.paths
    }
}
