export fn sd_stub() void {}
