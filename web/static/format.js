// Times (always UTC), numbers and shares as text.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
const precise = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 4 });

export const count = (value) => whole.format(value);
export const rate = (value) => short.format(value);
export const small = (value) => (Math.abs(value) < 10000 ? whole.format(value) : compact.format(value));
export const percent = (share) => `${Math.round(share * 100)} %`;

// −0.82 with a true minus sign, so that columns of scores line up.
export function signed(value) {
  const size = Math.abs(value).toFixed(2);
  return Number(size) === 0 ? size : `${value < 0 ? "−" : "+"}${size}`;
}

export function plain(value) {
  if (typeof value !== "number") return String(value);
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  return Number.isInteger(value) ? whole.format(value) : precise.format(value);
}

export function time(text) {
  const moment = new Date(text);
  return Number.isNaN(moment.getTime()) ? String(text) : moment.toISOString().slice(0, 19).replace("T", " ");
}

export const dayAndClock = (text) => {
  const [day, clock] = time(text).split(" ");
  return { day, clock };
};

export function elapsed(from, to) {
  const seconds = Math.round((new Date(to) - new Date(from)) / 1000);
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export function interval(seconds) {
  for (const [unit, length] of [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]]) {
    if (seconds >= length && seconds % length === 0) {
      const number = seconds / length;
      return number === 1 ? `1 ${unit}` : `${number} ${unit}s`;
    }
  }
  return `${seconds} s`;
}
