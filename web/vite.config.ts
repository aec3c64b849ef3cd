import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// The page is served under a CSP that allows nothing inline and nothing from elsewhere, so no asset
// is ever turned into a data URL and no preload helper is written into the page.
export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: false,
    sourcemap: false,
    reportCompressedSize: true,
  },
  server: {
    // `npm run dev` beside `yagura serve`: the API answers on the same origin, as it does in the binary.
    proxy: { "/api": process.env["YAGURA_SERVER"] ?? "http://127.0.0.1:8440" },
  },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
