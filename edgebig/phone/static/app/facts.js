// What this phone says of itself. What is not known is left out, never guessed.
import { resolutionNs } from "./clock.js";

const RUNTIME_VERSION = "2.5.3";
// Modules that need relaxed SIMD, and threads: instructions that a browser without them refuses.
const RELAXED_SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2,
  253, 15, 253, 128, 2, 11];

export async function facts() {
  const agent = navigator.userAgentData;
  const high = agent ? await agent.getHighEntropyValues(["model", "platformVersion"]).catch(() => ({})) : {};
  return withoutUnknown({
    user_agent: navigator.userAgent,
    platform: [agent?.platform ?? navigator.platform, high.platformVersion].filter(Boolean).join(" "),
    model: high.model,
    mobile: agent?.mobile,
    cores: navigator.hardwareConcurrency,
    memory_gb: navigator.deviceMemory,
    isolated: self.crossOriginIsolated === true,
    secure: self.isSecureContext === true,
    timer_ns: resolutionNs(),
    automated: navigator.webdriver === true,
    runtime: RUNTIME_VERSION,
    wasm: {
      simd: WebAssembly.validate(Uint8Array.from(RELAXED_SIMD)),
      threads: self.crossOriginIsolated === true && typeof SharedArrayBuffer === "function",
      jspi: "Suspending" in WebAssembly,
    },
    webnn: "ml" in navigator,
    screen: [screen.width, screen.height, devicePixelRatio],
    gpu: await gpu(),
  });
}

async function gpu() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (!adapter?.info) return null;
  const { vendor, architecture, device, description } = adapter.info;
  return { vendor, architecture, device, description };
}

function withoutUnknown(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined && value !== ""));
}
