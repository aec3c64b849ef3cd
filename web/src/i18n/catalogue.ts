import type { en } from "./en";

type English = typeof en;

/** Every language has exactly these words, and the ones with blanks take the same blanks. */
export type Catalogue = {
  readonly [K in keyof English]: English[K] extends (...blanks: infer A) => string ? (...blanks: A) => string : string;
};

export type Lang = "ja" | "en";
