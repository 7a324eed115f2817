// Times as people say them, in the browser's language. A message's time is when it was written.

const time = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat([], { weekday: "long", day: "numeric", month: "long" });
const dayOfYear = new Intl.DateTimeFormat([], { day: "numeric", month: "long", year: "numeric" });
const short = new Intl.DateTimeFormat([], { day: "numeric", month: "short" });
const shortOfYear = new Intl.DateTimeFormat([], { day: "numeric", month: "short", year: "numeric" });
const whole = new Intl.DateTimeFormat([], { dateStyle: "full", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat([], { numeric: "auto" });

/** Hours and minutes alone, for a narrow place. */
export const digits = (at) => time.formatToParts(new Date(at)).filter(({ type }) => type !== "dayPeriod").map(({ value }) => value).join("").trim();
export const clock = (at) => time.format(new Date(at));
export const full = (at) => whole.format(new Date(at));

/** Days since the epoch, where the reader is. */
export function dayNumber(at) {
  const date = new Date(at);
  return Math.floor((date.getTime() - date.getTimezoneOffset() * 60_000) / 86_400_000);
}

/** `Today`, `Yesterday`, `Monday, 3 March`, `3 March 2024` */
export function dayName(at) {
  const ago = dayNumber(Date.now()) - dayNumber(at);
  if (ago === 0 || ago === 1) return capital(relative.format(-ago, "day"));
  const date = new Date(at);
  return (date.getFullYear() === new Date().getFullYear() ? day : dayOfYear).format(date);
}

/** `14:02` today, else the day. */
export function shortly(at) {
  const date = new Date(at);
  if (dayNumber(at) === dayNumber(Date.now())) return clock(at);
  return (date.getFullYear() === new Date().getFullYear() ? short : shortOfYear).format(date);
}

/** `5 minutes ago` */
export function ago(at) {
  const seconds = (Date.now() - new Date(at)) / 1000;
  for (const [unit, length] of [["day", 86_400], ["hour", 3_600], ["minute", 60]]) {
    if (seconds >= length) return relative.format(-Math.floor(seconds / length), unit);
  }
  return "just now";
}

const capital = (text) => text.charAt(0).toLocaleUpperCase() + text.slice(1);
