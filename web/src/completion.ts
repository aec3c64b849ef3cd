import type { Completions, Offer } from "./api";

/** What the search box shows below itself. */
export interface OfferList {
  answer: Completions;
  /** The offer that Enter takes; -1 for none, and Enter searches. */
  selected: number;
}

/** Characters before a place that the browser counts in UTF-16. */
export function charactersBefore(text: string, at: number): number {
  return [...text.slice(0, at)].length;
}

/** Whether the list opens by itself: not where anything could be meant, nor where nothing is left to add. */
export function isWorthShowing({ offers, typed }: Completions, asked: boolean): boolean {
  const only = offers.length === 1 ? offers[0] : undefined;
  if (offers.length === 0 || (only !== undefined && only.insert.trim() === typed)) return false;
  return asked || typed !== "" || offers[0]?.kind !== "field";
}

/** The text with an offer in its place, and where the cursor then stands, in UTF-16. */
export function taken(text: string, { start, end }: Completions, offer: Offer): { text: string; at: number } {
  const characters = [...text];
  const before = characters.slice(0, start).join("") + offer.insert;
  return { text: before + characters.slice(end).join(""), at: before.length };
}

/** The next offer in this direction; past either end none is selected, so that Enter searches. */
export function moved({ answer, selected }: OfferList, by: 1 | -1): number {
  const places = answer.offers.length + 1;
  return ((selected + 1 + by + places) % places) - 1;
}
