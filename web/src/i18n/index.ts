import { createContext, use } from "react";
import type { Catalogue, Lang } from "./catalogue";
import { en } from "./en";
import { ja } from "./ja";

export type { Catalogue, Lang } from "./catalogue";

export const catalogues: Readonly<Record<Lang, Catalogue>> = { en, ja };
export const LANGS: readonly { lang: Lang; label: string }[] = [
  { lang: "ja", label: "日本語" },
  { lang: "en", label: "English" },
];

const STORED_AS = "yagura.lang";

/** What the words of one language need to be used: the language and its catalogue. */
export interface Words {
  lang: Lang;
  t: Catalogue;
}

export const WordsContext = createContext<Words>({ lang: "en", t: en });

/** The words of the chosen language. */
export function useWords(): Words {
  return use(WordsContext);
}

/** The choice made earlier, else the first language of the browser that we speak, else English. */
export function initialLang(stored: string | null, browser: readonly string[]): Lang {
  if (stored === "ja" || stored === "en") return stored;
  for (const tag of browser) {
    const primary = tag.toLowerCase().split("-")[0];
    if (primary === "ja" || primary === "en") return primary;
  }
  return "en";
}

/** Reads the remembered choice; a browser that forbids storage has none. */
export function storedLang(): string | null {
  try {
    return localStorage.getItem(STORED_AS);
  } catch {
    return null;
  }
}

/** Remembers the choice where the browser allows it. */
export function storeLang(lang: Lang): void {
  try {
    localStorage.setItem(STORED_AS, lang);
  } catch {
    // Private windows may forbid storage: the choice then lasts as long as the page.
  }
}
