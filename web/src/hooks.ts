import { useCallback, useEffect, useState } from "react";

export interface Polled<T> {
  value: T | undefined;
  error: unknown;
  refresh: () => void;
}

/** Asks again and again while the page is looked at. `ask` must be stable between renders. */
export function usePolled<T>(ask: (signal: AbortSignal) => Promise<T>, everyMs: number): Polled<T> {
  const [state, setState] = useState<{ value: T | undefined; error: unknown }>({ value: undefined, error: undefined });
  const [round, setRound] = useState(0);

  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async () => {
      clearTimeout(timer);
      try {
        const value = await ask(abort.signal);
        if (!abort.signal.aborted) setState({ value, error: undefined });
      } catch (error) {
        if (!abort.signal.aborted) setState((earlier) => ({ value: earlier.value, error }));
      }
      if (!abort.signal.aborted && document.visibilityState === "visible") timer = setTimeout(() => void look(), everyMs);
    };
    const whenVisible = () => {
      if (document.visibilityState === "visible") void look();
    };
    document.addEventListener("visibilitychange", whenVisible);
    void look();
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", whenVisible);
    };
  }, [ask, everyMs, round]);

  const refresh = useCallback(() => {
    setRound((earlier) => earlier + 1);
  }, []);
  return { ...state, refresh };
}

/** The present, fresh enough to know which day is today. */
export function useNow(): Date {
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    const timer = setInterval(() => {
      setNow(new Date());
    }, 30_000);
    return () => {
      clearInterval(timer);
    };
  }, []);
  return now;
}

/** Single keys act only where nobody is typing: not in a field, not inside an IME composition. */
export function isTyping(event: KeyboardEvent): boolean {
  if (takenByIme(event) || event.ctrlKey || event.metaKey || event.altKey) return true;
  return event.target instanceof HTMLElement && event.target.matches("input, textarea, select, [contenteditable]");
}

/** Whether the key went to an input method, such as the Enter that confirms kanji. */
export function takenByIme(event: KeyboardEvent): boolean {
  // Safari ends the composition before it reports that Enter; only the old code 229 tells.
  // eslint-disable-next-line @typescript-eslint/no-deprecated
  return event.isComposing || event.keyCode === 229;
}
