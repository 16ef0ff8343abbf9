"""The only code that knows a vendor or a store; each adapter implements one port and knows no other adapter."""
