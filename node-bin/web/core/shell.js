// The page as an app: its service worker (sw.js), and its installation.
//
// Pages import all of their modules statically: a page that stands has all of them, whatever version comes next.

/** "update": a newer release is there, and the next load will be of it. "installable": `install()` may be called. */
export const shell = new EventTarget();

let offered = null;

addEventListener("beforeinstallprompt", (event) => {
  event.preventDefault();
  offered = event;
  shell.dispatchEvent(new Event("installable"));
});

/** Has the page kept, so that it comes up though its node is dead. Does nothing where the browser does not allow it (plain http, but for this machine). */
export async function register() {
  if (!("serviceWorker" in navigator)) return;
  const container = navigator.serviceWorker;
  const isFirst = container.controller === null;
  let had = isFirst ? 0 : 1;
  container.addEventListener("controllerchange", () => {
    had += 1;
    if (had > 1) shell.dispatchEvent(new Event("update"));
  });
  try {
    await container.register("/sw.js", { updateViaCache: "none" });
  } catch (error) {
    console.info("this page is not kept for when its node does not answer", error);
  }
}

/** Whether the browser has offered to install the page. */
export const isInstallable = () => offered !== null;

/** Asks whoever sits there; whether they wanted it. */
export async function install() {
  const event = offered;
  offered = null;
  if (!event) return false;
  event.prompt();
  const { outcome } = await event.userChoice;
  return outcome === "accepted";
}
