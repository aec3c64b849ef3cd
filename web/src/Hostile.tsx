import { Fragment, useMemo } from "react";
import { clip, visiblePieces } from "./visible";

/**
 * Text that an attacker may have written: text nodes only, in a direction of its own, with hidden
 * characters shown by name. With `lines`, line breaks and tabs also take effect after they are shown.
 */
export function Hostile({ text, max, lines = false, cutNote }: { text: string; max: number; lines?: boolean; cutNote?: string }) {
  const { pieces, cut } = useMemo(() => {
    const clipped = clip(text, max);
    return { pieces: visiblePieces(clipped.text), cut: clipped.cut };
  }, [text, max]);
  return (
    <>
      <bdi>
        {pieces.map((piece, at) =>
          piece.kind === "text" ? (
            <Fragment key={at}>{piece.text}</Fragment>
          ) : (
            <Fragment key={at}>
              <span className="hidden-char" title={piece.name}>
                {piece.label}
              </span>
              {lines && piece.label === "␊" ? "\n" : null}
            </Fragment>
          ),
        )}
      </bdi>
      {cut ? <span className="cut-mark">…{cutNote === undefined ? null : <small>{cutNote}</small>}</span> : null}
    </>
  );
}
