export fn sd_ffi_stub() void {}
