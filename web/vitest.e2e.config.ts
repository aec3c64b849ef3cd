import { defineConfig } from "vitest/config";

// A real browser and a real server: one file after the other, and time enough for a slow machine.
export default defineConfig({
  test: {
    include: ["e2e/**/*.test.ts"],
    environment: "node",
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
